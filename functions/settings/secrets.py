"""Where secrets lie in SSM, and which of them a release gets. Pure: names only, never a value.

A container's are under ``/STACK/secrets/SERVICE/``, those of one stage in a folder of the stage's name below. A build's
are under ``/STACK/build-secrets/SERVICE/``: a build runs what was pushed before anybody voted for it, so its role reads
these alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable


def folder(services_path: str, service: str, *, build: bool = False) -> str:
    """The folder of a service's secrets; ``services_path`` is where the stack's services register."""
    return f"{services_path.removesuffix('services/')}{'build-secrets' if build else 'secrets'}/{service}/"


def parameter_of(below: str, name: str, stage: str = "") -> str:
    """The parameter of a secret below the folder: of one stage, or "" of all."""
    return f"{below}{stage}/{name}" if stage else f"{below}{name}"


def chosen(names: Iterable[str], there: Collection[str], below: str, stage: str = "") -> dict[str, str]:
    """By variable, the parameter that holds its value: the stage's own, else the one of all stages. One that is not
    ``there`` is left out."""
    places = {name: (parameter_of(below, name, stage), parameter_of(below, name)) for name in names}
    found = {name: next((place for place in of if place in there), "") for name, of in places.items()}
    return {name: place for name, place in found.items() if place}


def unset(names: Iterable[str], found: Collection[str], release: str, where: str) -> str:
    """The sentence that says which secrets have no value, "" where all have one."""
    missing = [name for name in names if name not in found]
    if not missing:
        return ""
    several = len(missing) > 1
    named = f"secret{'s' if several else ''} {', '.join(missing)} of {release}"
    return f"the {named} {'are' if several else 'is'} not set for {where}"
