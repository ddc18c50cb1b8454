"""How the settings of two releases differ, for the command line, the page and the comment on the commit. Pure."""

from __future__ import annotations

from settings.model import restored

LONGEST = 60  # characters of a value; the commit has all of it


def difference(live: str, own: str) -> tuple[str, ...]:
    """What differs between the stored settings of what is live and a release's own, a line each."""
    before, after = _flat(live), _flat(own)
    names = [name for name in (*before, *after) if before.get(name) != after.get(name)]
    return tuple(f"{name}: {_text(before, name)} → {_text(after, name)}" for name in dict.fromkeys(names))


def _flat(stored: str) -> dict[str, str]:
    """Each setting's text by its name; a variable of environment or parameters counts by itself."""
    flat: dict[str, str] = {}
    for name, value in restored(stored).model_dump(exclude_none=True).items():
        if isinstance(value, dict):
            flat |= {f"{name}.{variable}": text for variable, text in value.items()}
        else:
            flat[name] = ", ".join(value) or "none" if isinstance(value, tuple) else str(value)
    return flat


def _text(flat: dict[str, str], name: str) -> str:
    text = " ".join(flat.get(name, "not set").split()) or '""'
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
