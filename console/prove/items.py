"""All items, in the order they are walked."""

from __future__ import annotations

from console.prove import items_release

ITEMS = (*items_release.BEGIN,)
