"""The handlers light_start compares with. They are copied into what it packs, and never run from here."""
