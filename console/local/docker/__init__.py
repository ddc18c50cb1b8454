"""The docker engine: real builds and real hosts."""
