"""The process engine: builds and hosts without Docker."""
