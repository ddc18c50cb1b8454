"""The record: what it holds, whether it still holds, and what it would have come to under other rules."""
