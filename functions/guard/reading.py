"""A file of a push: which ones are read first, and what is found in one."""

from __future__ import annotations

import re
from dataclasses import dataclass

from guard.formats import formatted
from guard.search import Secret, secrets
from guard.values import is_hole

# Key stores, which do not give themselves away by their content, and files that hold nothing but a secret.
_KEY_NAMES = re.compile(
    r"(?:^|/)(?:[^/]+\.(?:p12|pfx|ppk|jks|keystore|kdbx)|id_(?:rsa|dsa|ecdsa|ed25519)|\.aws/credentials)$",
    re.IGNORECASE,
)
# Where secrets are, as experience has it; then code and configuration; what is large or binary comes last.
_LIKELY = re.compile(
    r"(?:^|/)(?:\.env[^/]*|[^/]*\.env|\.renviron[^/]*|\.rprofile|[._]netrc|\.pypirc|\.npmrc|\.pgpass|\.my\.cnf|\.htpasswd"
    r"|\.git-credentials|\.databrickscfg|\.dockercfg|kaggle\.json|profiles\.ya?ml|[^/]*\.tfvars(?:\.json)?|[^/]*\.tfstate[^/]*"
    r"|[^/]*(?:secret|credential|password|token)[^/]*|[^/]*\.(?:pem|key|asc|gpg|der|p8|ovpn)|\.(?:dvc|aws|kube|docker|streamlit|ssh)/.*"
    r"|(?:config|settings|docker-compose)[^/]*|dockerfile[^/]*|[^/]*\.(?:ini|cfg|conf|toml|properties|sh)|\.[a-z]+_history)$"
)
_LAST = re.compile(
    r"\.(?:bin|bmp|bz2|csv|feather|gif|gz|h5|ico|jpe?g|joblib|mp[34]|np[yz]|onnx|parquet|pdf|pickle|pkl|png|pth?|pyc|rda|rdata|rds"
    r"|safetensors|so|sqlite|svg|tar|tiff?|tsv|webp|whl|woff2?|xlsx?|xz|zip|zst)$"
)
# PKCS #8, RSA and EC private keys in DER: a sequence that begins with its version, 0 or 1.
_DER_KEY = re.compile(rb"\x30(?:\x82..|\x81.|[\x20-\x7f])\x02\x01[\x00\x01][\x02\x04\x30]", re.DOTALL)
_LFS = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:ext-[^\n]*\n)*oid sha256:[0-9a-f]{64}\nsize (\d+)\s*\Z"
)
_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


@dataclass(frozen=True)
class Looked:
    """What was found in one file: a secret, or why it was not searched in full, or something worth a note."""

    secret: str = ""
    unread: str = ""
    note: str = ""


def rank(path: str) -> int:
    """The lower, the sooner a file is read."""
    low = path.lower()
    return -1 if is_key_name(path) else 0 if _LIKELY.search(low) else 2 if _LAST.search(low) else 1


def is_key_name(path: str) -> bool:
    """Whether a file is a private key or a key store by its name."""
    return bool(_KEY_NAMES.search(path))


def look(path: str, content: bytes) -> Looked:
    """Search one file, by its content."""
    pointer = _LFS.match(content[:1024])
    if pointer:
        return Looked(note=_pointer(path, int(pointer[1])))
    text = _text(content)
    if text is None:
        return _binary(content)
    return Looked(_said(min(secrets(text, path), key=lambda s: s.start, default=None), text))


def _pointer(path: str, size: int) -> str:
    name = path.rsplit("/", 1)[-1]
    kind = f"*.{name.rsplit('.', 1)[-1]}" if "." in name else path
    return (
        f"{path} is a Git LFS pointer, not the file of {size} bytes: an image built from it holds the pointer. To "
        f"commit the file itself: git lfs untrack '{kind}' && git add --renormalize . && git commit, and push again"
    )


def _text(content: bytes) -> str | None:
    """The content as text, None where it is binary."""
    for mark, encoding in _BOMS:
        if content.startswith(mark):
            return content.decode(encoding, "replace")
    return None if b"\0" in content[:8000] else content.decode("utf-8", "replace")


def _binary(content: bytes) -> Looked:
    """What is known by its form is found in a pickle, too."""
    if _DER_KEY.match(content):
        return Looked("holds a private key")
    text = content.decode("latin-1")
    for start, end, kind in formatted(text):
        if not is_hole(text[start:end]):
            return Looked(f"holds {kind}")
    return Looked(unread="binary: searched for keys of a known form only")


def _said(found: Secret | None, text: str) -> str:
    return f"holds {found.kind} (line {text.count(chr(10), 0, found.start) + 1})" if found else ""
