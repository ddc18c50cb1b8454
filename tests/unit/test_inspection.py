"""A push is classed by its paths, skipped if only ignored ones changed, and rejected if it carries a secret."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from esteira.config import Classes, Guard, Service
from esteira.inspection import NAMED, Change, Inspection, Search, class_of, inspect, matches, searched, to_search
from tests.unit.conftest import HEART

# Spelled in two parts, so that no scanner, ours included, takes this file for the real thing.
KEY_ID = b"AKIA" + b"QX7M4K2BZT5R9W3D"
BODY = b"\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW\n"
PRIVATE_KEY = b"-----BEGIN OPENSSH PRIVATE" + b" KEY-----" + BODY


def looked_at(files: Mapping[str, bytes | None], service: Service = HEART, *, first: bool = False) -> Inspection:
    """Inspect a push that changed these files; None stands for one that is too large to be read."""
    changes = [Change(path, path) for path in files]
    found = Search()
    for change in to_search(service, changes):
        content = files[change.path]
        found = searched(found, change, "too large" if content is None else content)
        if found.secret:
            break
    return inspect(service, changes, first, found)


def allowing(*globs: str) -> Service:
    return HEART.model_copy(update={"guard": Guard(allow=globs)})


# --- secrets -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "keys/server.p12",
        "keys/server.pfx",
        "keys/trust.jks",
        "putty.ppk",
        "id_rsa",
        "home/.ssh/id_ed25519",
        "id_ecdsa",
        "id_dsa",
        ".aws/credentials",
        "home/.aws/credentials",
    ],
)
def test_a_file_called_like_a_key_is_rejected_whatever_is_in_it(path: str) -> None:
    """Of a key store the content tells nothing. The sentence names the file and says what to do."""
    rejected = looked_at({path: b"nothing of interest"}).rejected
    assert rejected.startswith(f"{path} looks like a private key or credential by its name")
    for next_step in ("remove it", "rotate", "push again", "guard.allow"):
        assert next_step in rejected


def test_a_pem_file_is_judged_by_its_content() -> None:
    """Certificates and bundles of them are public; a key is none."""
    certificate = b"-----BEGIN CERTIFICATE-----" + BODY + b"-----END CERTIFICATE-----\n"
    assert looked_at({"certs/ca-bundle.pem": certificate * 20}).rejected == ""
    assert looked_at({"certs/ca-bundle.pem": certificate + PRIVATE_KEY}).rejected


def test_a_key_in_der_form_is_a_private_key() -> None:
    """PKCS #8 and RSA begin with a version, a certificate does not."""
    assert looked_at({"server.key": b"\x30\x82\x04\xbd\x02\x01\x00\x30\x0d\x06\x09\0\0"}).rejected
    assert looked_at({"server.der": b"\x30\x82\x04\xbd\x30\x82\x03\xa5\xa0\x03\x02\x01\x02\0"}).rejected == ""


@pytest.mark.parametrize("path", ["id_rsa.pub", "credentials/README", "pem.py", "docs/credentials.txt"])
def test_a_file_that_is_only_called_similarly_is_not_rejected(path: str) -> None:
    """A public key, or a word in a name, is no secret."""
    assert looked_at({path: b"ssh-ed25519 AAAA ana@laptop"}).rejected == ""


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (PRIVATE_KEY, "holds a private key"),
        (b"-----BEGIN RSA PRIVATE" + b" KEY-----" + BODY, "holds a private key"),
        (b"-----BEGIN PRIVATE" + b" KEY-----" + BODY, "holds a private key"),
        (b"-----BEGIN ENCRYPTED PRIVATE" + b" KEY-----" + BODY, "holds a private key"),
        (b"aws_access_key_id = " + KEY_ID, "holds an AWS access key id"),
        (b'key="' + KEY_ID.replace(b"AKIA", b"ASIA") + b'"', "holds an AWS access key id"),
        (b"key=AKIAIOSFODNN7EXAMPLE\nkey=" + KEY_ID, "holds an AWS access key id"),
        (("id=" + KEY_ID.decode()).encode("utf-16"), "holds an AWS access key id"),
    ],
)
def test_a_text_that_holds_a_secret_is_rejected(content: bytes, found: str) -> None:
    """Whatever the file is called."""
    assert looked_at({"app/settings.R": content}).rejected.startswith(f"app/settings.R {found} (line ")


def test_a_pgp_private_key_is_a_private_key() -> None:
    """Its armour has one word more."""
    assert looked_at({"ana.asc": b"-----BEGIN PGP PRIVATE" + b" KEY BLOCK-----\n" + BODY}).rejected


def test_the_case_of_a_name_hides_no_key() -> None:
    """A key in DER form, which its content does not give away, is still called .P12."""
    assert looked_at({"keys/SERVER.P12": b"\x30\x82\x00"}).rejected


@pytest.mark.parametrize(
    "content",
    [
        b"AKIAIOSFODNN7EXAMPLE",
        b"ASIAIOSFODNN7EXAMPLE is the documentation's own",
        b"the id begins with AKIA",
        b"XAKIAQX7M4K2BZT5R9W3D",
        KEY_ID + b"MORE",
        b"-----BEGIN PUBLIC KEY-----",
        b"-----BEGIN CERTIFICATE-----",
        b"A key begins with -----BEGIN RSA PRIVATE" + b" KEY-----, as is known.",
        b"",
    ],
)
def test_what_only_looks_like_a_secret_is_not_rejected(content: bytes) -> None:
    """The documentation's EXAMPLE keys, longer words, and public things."""
    assert looked_at({"README.txt": content}).rejected == ""


def test_a_binary_file_is_searched_for_keys_of_a_known_form() -> None:
    """A pickled configuration holds its keys in clear. The note says that nothing else of it was read."""
    assert looked_at({"model.pkl": b"\0\x8c" + KEY_ID + b"\x94"}).rejected
    seen = looked_at({"model.pkl": b"\0 password = 'Tr0ub" + b"4dor&3'"})
    assert (seen.rejected, seen.note) == (
        "",
        "1 file was not searched in full for secrets: model.pkl (binary: searched for keys of a known form only)",
    )


def test_a_deleted_key_is_no_secret_of_the_new_tree() -> None:
    """Taking it out is what the sentence asked for."""
    assert to_search(HEART, [Change("mlops.pem", "")]) == ()


@pytest.mark.parametrize("allowed", ["tests/fixtures/fake.pem", "tests/**", "*.pem"])
def test_what_the_configuration_allows_is_not_rejected(allowed: str) -> None:
    """The allow-list holds for the name and for the content."""
    assert looked_at({"tests/fixtures/fake.pem": PRIVATE_KEY}, allowing(allowed)).rejected == ""


def test_the_allow_list_allows_nothing_else() -> None:
    """One fixture allowed, another key beside it is still found."""
    files = {"tests/fake.pem": PRIVATE_KEY, "real.txt": PRIVATE_KEY}
    assert looked_at(files, allowing("tests/**")).rejected.startswith("real.txt holds a private key (line 1)")


def test_a_secret_in_an_ignored_path_is_rejected_and_not_skipped() -> None:
    """A key in docs/ lies in the repository as openly as anywhere."""
    seen = looked_at({"docs/setup.md": PRIVATE_KEY})
    assert seen.rejected
    assert seen.skipped == ""


# --- what could not be read ----------------------------------------------------------------------------------------


def test_a_file_too_large_to_be_had_is_noted() -> None:
    """The release says which one, and why."""
    seen = looked_at({"data/big.csv": None, "data/huge.csv": None, "app.py": b""})
    expected = "2 files were not searched in full for secrets: data/big.csv (too large), data/huge.csv (too large)"
    assert (seen.rejected, seen.note) == ("", expected)


def test_of_many_unread_files_the_first_are_named() -> None:
    """The note stays readable and the number is right."""
    note = looked_at({f"data/{n:03}.csv": None for n in range(NAMED + 5)}).note
    assert note.startswith(f"{NAMED + 5} files were not searched in full for secrets: data/000.csv (too large), ")
    assert note.endswith(f"data/{NAMED - 1:03}.csv (too large) and 5 more")


def test_files_are_read_where_secrets_are_likely_first() -> None:
    """Beyond the time of one call, the rest waits."""
    changes = [Change(p, p) for p in ("a.csv", "b.py", "z/.env", "c.onnx", "keys/x.p12", "terraform.tfvars")]
    ordered = [c.path for c in to_search(HEART, changes)]
    assert ordered == ["keys/x.p12", "terraform.tfvars", "z/.env", "b.py", "a.csv", "c.onnx"]


def test_a_git_lfs_pointer_is_noted_before_it_is_built() -> None:
    """Built as it is, the pointer would go live as the model. The note names the file and what to type."""
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"4d7a" * 16 + b"\nsize 12345678\n"
    note = looked_at({"models/heart.onnx": pointer, "app.py": b""}).note
    assert note.startswith("models/heart.onnx is a Git LFS pointer, not the file of 12345678 bytes")
    assert "git lfs untrack '*.onnx' && git add --renormalize ." in note


def test_a_name_that_is_not_utf_8_is_noted() -> None:
    """Its content is searched all the same."""
    assert looked_at({"caf\ufffd.csv": b"a,b"}).note == "the name of caf\ufffd.csv is not UTF-8"
    assert looked_at({"caf\ufffd.csv": PRIVATE_KEY}).rejected


# --- skipped -------------------------------------------------------------------------------------------------------


def test_a_push_of_ignored_paths_alone_is_skipped_with_the_reason() -> None:
    """By default docs/** and *.md, in any folder; the sentence names the first of them."""
    files = dict.fromkeys(["README.md", "docs/a/b.png", "model/NOTES.md", "docs/c.txt"], b"")
    assert looked_at(files).skipped == "only ignored paths changed: README.md, docs/a/b.png, docs/c.txt and 1 more"
    assert looked_at({"README.md": b""}).skipped == "only ignored paths changed: README.md"


@pytest.mark.parametrize("path", ["app.py", "docs.py", "src/docs/x.txt", "README.mdx"])
def test_one_other_path_and_the_push_is_built(path: str) -> None:
    """A change that could matter takes the ignored ones along."""
    assert looked_at({"README.md": b"", path: b""}).skipped == ""


def test_the_first_push_is_never_skipped() -> None:
    """A whole tree of documentation only is still the tree to be built."""
    assert looked_at({"README.md": b""}, first=True).skipped == ""


def test_a_push_that_changes_nothing_is_not_skipped() -> None:
    """An empty commit is how some people ask for another build."""
    assert looked_at({}).skipped == ""


def test_ignored_paths_are_what_the_configuration_says() -> None:
    """An empty list ignores nothing."""
    service = HEART.model_copy(update={"ignored_paths": ("notebooks/**",)})
    assert looked_at({"notebooks/eda.ipynb": b""}, service).skipped
    assert looked_at({"README.md": b""}, service).skipped == ""


# --- classes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("Dockerfile", "infrastructure"),
        ("buildspec.yml", "infrastructure"),
        ("appspec.yaml", "infrastructure"),
        ("requirements-dev.txt", "infrastructure"),
        ("infra/main.tf", "infrastructure"),
        ("infra/data.csv", "infrastructure"),
        ("data/raw/heart.csv", "data"),
        ("other/heart.csv", "data"),
        ("data/README", "data"),
        ("train.py", "model"),
        ("src/train_heart.py", "model"),
        ("models/heart.onnx", "model"),
        ("golden.json", "model"),
        ("R/model.R", "model"),
        ("app.py", "application"),
        ("R/server.R", "application"),
        ("modelling.py", "application"),
    ],
)
def test_a_path_is_classed_by_the_first_class_that_matches(path: str, name: str) -> None:
    """Infrastructure before data before model; anything else is the application."""
    assert class_of(path, Classes()) == name


def test_a_push_shows_the_classes_and_paths_it_changed() -> None:
    """Each class once, paths in order, deleted ones among them."""
    seen = inspect(HEART, [Change("train.py", "1"), Change("app.py", "2"), Change("b.csv", "")], False, Search())
    assert seen.classes == ("application", "data", "model")
    assert seen.paths == ("app.py", "b.csv", "train.py")


@pytest.mark.parametrize(
    ("path", "glob", "does"),
    [
        ("a/b/c.md", "*.md", True),
        ("a/b/c.md", "a/*", True),
        ("a/b/c.md", "a/**", True),
        ("a/b/c.md", "b/**", False),
        ("c.md", "c.MD", False),
        ("a.md/c", "*.md", False),
    ],
)
def test_a_glob_without_a_slash_is_about_the_name_and_one_with_a_slash_about_the_path(
    path: str, glob: str, does: bool
) -> None:
    """As the module says."""
    assert matches(path, [glob]) == does
