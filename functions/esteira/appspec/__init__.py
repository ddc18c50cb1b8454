"""A repository's own deployment bundle: reading it and judging it before a deployment is made."""
