"""The heart model, served. ``model`` predicts, ``page`` and ``words`` speak to people, ``app`` to HTTP."""
