"""What a secret shows: the controller lists its name, CodeBuild reads a build's, the host reads a container's."""

from __future__ import annotations

from console.prove.item import ProofItem
from console.prove.items_release import live
from console.prove.pushed import version
from console.prove.site import ProofSite
from settings.secrets import folder

KEPT = "kept"  # the word of the commit
_FILE = b"secrets: [PROOF]\nbuild_secrets: [PROOF]\n"
_ASKED = b"import os\n\nos.environ['PROOF']  # not started without it\n"


def names(site: ProofSite) -> list[str]:
    """The parameters of the proof's secrets."""
    return [f"{folder(f'/{site.stack}/services/', site.service, build=build)}PROOF" for build in (False, True)]


def remove(site: ProofSite) -> None:
    """Delete them; what is gone already is no failure."""
    site.client("ssm").delete_parameters(Names=names(site))


def _push(site: ProofSite) -> None:
    for name in names(site):
        site.client("ssm").put_parameter(Name=name, Value="a proof", Type="SecureString", Overwrite=True)
    files = version(KEPT)
    site.push(KEPT, {**files, "server.py": _ASKED + files["server.py"], "esteira.yaml": _FILE})


SECRETS = (
    ProofItem(
        "secrets",
        "the controller sees that secrets are set and reads none; CodeBuild reads the build's, the host its own",
        "two SecureStrings, and a commit whose esteira.yaml names them",
        25,
        live(KEPT),
        _push,
    ),
)
