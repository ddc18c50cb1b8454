"""All items, in the order they are walked."""

from __future__ import annotations

from console.prove import items_account, items_end, items_release, items_secrets, tag_probe

ITEMS = (*items_release.BEGIN, *items_account.AROUND, *items_secrets.SECRETS, *tag_probe.TAGS, *items_end.END)
