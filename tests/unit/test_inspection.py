"""A push is classed by its paths, skipped if only ignored ones changed, and rejected if it carries a secret."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from esteira.config import Classes, Guard, Service
from esteira.inspection import READ_AT_MOST, Change, Inspection, class_of, inspect, matches
from tests.unit.conftest import HEART

# Spelled in two parts, so that no scanner, ours included, takes this file for the real thing.
KEY_ID = b"AKIA" + b"QX7M4K2BZT5R9W3D"
PRIVATE_KEY = b"-----BEGIN OPENSSH PRIVATE" + b" KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\n"


def looked_at(files: Mapping[str, bytes | None], service: Service = HEART, *, first: bool = False) -> Inspection:
    """Inspect a push that changed these files; None stands for one that is too large to be read."""
    return inspect(service, [Change(path, path) for path in files], first, lambda blob: files[blob])


def allowing(*globs: str) -> Service:
    return HEART.model_copy(update={"guard": Guard(allow=globs)})


# --- secrets -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "credentials/mlops.pem",
        "mlops.pem",
        "keys/server.p12",
        "keys/server.pfx",
        "putty.ppk",
        "id_rsa",
        "home/.ssh/id_ed25519",
        "id_ecdsa",
        "id_dsa",
        ".aws/credentials",
        "home/.aws/credentials",
    ],
)
def test_a_file_called_like_a_key_is_rejected_without_being_read(path: str) -> None:
    """The name is enough; the sentence names the file and says what to do."""
    rejected = looked_at({path: b"nothing of interest"}).rejected
    assert rejected.startswith(f"{path} looks like a private key or credential by its name")
    for next_step in ("remove it", "rotate", "push again", "guard.allow"):
        assert next_step in rejected


@pytest.mark.parametrize("path", ["id_rsa.pub", "credentials/README", "pem.py", "docs/credentials.txt"])
def test_a_file_that_is_only_called_similarly_is_not_rejected(path: str) -> None:
    """A public key, or a word in a name, is no secret."""
    assert looked_at({path: b"ssh-ed25519 AAAA ana@laptop"}).rejected == ""


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (PRIVATE_KEY, "holds a private key"),
        (b"-----BEGIN RSA PRIVATE" + b" KEY-----", "holds a private key"),
        (b"-----BEGIN PRIVATE" + b" KEY-----", "holds a private key"),
        (b"-----BEGIN ENCRYPTED PRIVATE" + b" KEY-----", "holds a private key"),
        (b"aws_access_key_id = " + KEY_ID, "holds an AWS access key id"),
        (b'key="' + KEY_ID.replace(b"AKIA", b"ASIA") + b'"', "holds an AWS access key id"),
        (b"key=AKIAIOSFODNN7EXAMPLE\nkey=" + KEY_ID, "holds an AWS access key id"),
    ],
)
def test_a_text_that_holds_a_secret_is_rejected(content: bytes, found: str) -> None:
    """Whatever the file is called."""
    assert looked_at({"app/settings.R": content}).rejected.startswith(f"app/settings.R {found}; remove it")


def test_a_pgp_private_key_is_a_private_key() -> None:
    """Its armour has one word more."""
    assert looked_at({"ana.asc": b"-----BEGIN PGP PRIVATE" + b" KEY BLOCK-----"}).rejected


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
        b"",
    ],
)
def test_what_only_looks_like_a_secret_is_not_rejected(content: bytes) -> None:
    """The documentation's EXAMPLE keys, longer words, and public things."""
    assert looked_at({"README.txt": content}).rejected == ""


def test_a_binary_file_is_not_searched() -> None:
    """A zero byte makes it binary; so does its name, and then it is not even read."""
    assert looked_at({"model.dat": b"\0" + KEY_ID, "model.onnx": None}) == looked_at(
        {"model.dat": b"", "model.onnx": b""}
    )
    assert looked_at({"model.dat": b"\0" + KEY_ID, "model.onnx": None}).note == ""


def test_a_deleted_key_is_no_secret_of_the_new_tree() -> None:
    """Taking it out is what the sentence asked for."""
    assert inspect(HEART, [Change("mlops.pem", "")], False, lambda _: PRIVATE_KEY).rejected == ""


@pytest.mark.parametrize("allowed", ["tests/fixtures/fake.pem", "tests/**", "*.pem"])
def test_what_the_configuration_allows_is_not_rejected(allowed: str) -> None:
    """The allow-list holds for the name and for the content."""
    assert looked_at({"tests/fixtures/fake.pem": PRIVATE_KEY}, allowing(allowed)).rejected == ""


def test_the_allow_list_allows_nothing_else() -> None:
    """One fixture allowed, another key beside it is still found."""
    files = {"tests/fake.pem": PRIVATE_KEY, "real.txt": PRIVATE_KEY}
    assert looked_at(files, allowing("tests/**")).rejected.startswith("real.txt holds a private key")


def test_a_secret_in_an_ignored_path_is_rejected_and_not_skipped() -> None:
    """A key in docs/ lies in the repository as openly as anywhere."""
    seen = looked_at({"docs/setup.md": PRIVATE_KEY})
    assert seen.rejected
    assert seen.skipped == ""


# --- what could not be read ----------------------------------------------------------------------------------------


def test_a_file_too_large_to_be_had_is_noted() -> None:
    """It was checked by its name only, and the release says so."""
    seen = looked_at({"data/big.csv": None, "data/huge.csv": None, "app.py": b""})
    assert (seen.rejected, seen.note) == ("", "2 files were checked by name only")


def test_of_a_very_large_push_the_rest_is_checked_by_name_and_noted() -> None:
    """The function has a minute; names are still looked at, all of them."""
    files: dict[str, bytes | None] = {f"src/{n:04}.py": b"" for n in range(READ_AT_MOST + 5)}
    assert looked_at(files).note == "5 files were checked by name only"
    assert looked_at(files | {"zzz/id_rsa": b""}).rejected.startswith("zzz/id_rsa")


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
    seen = inspect(HEART, [Change("train.py", "1"), Change("app.py", "2"), Change("b.csv", "")], False, lambda _: b"")
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
