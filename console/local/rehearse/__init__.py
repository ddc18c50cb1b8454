"""The controller on the local AWS in one process, and chaos."""
