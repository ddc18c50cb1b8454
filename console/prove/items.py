"""All items, in the order they are walked."""

from __future__ import annotations

from console.prove import items_account, items_end, items_release

ITEMS = (*items_release.BEGIN, *items_account.AROUND, *items_end.END)
