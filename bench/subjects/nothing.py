"""What cold_start compares with: a function that does nothing."""


def handler(_event: object, _context: object) -> dict[str, bool]:
    """Answer."""
    return {"ok": True}
