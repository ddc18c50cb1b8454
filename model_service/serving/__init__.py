"""The model, served. ``python -m serving`` runs it.

``card`` and ``model`` are the model itself. ``records`` checks the input, ``api`` answers it in JSON or CSV, and
``page`` (with ``form``, ``answer``, ``pictures`` and ``words``) answers people. ``journal``, ``drift`` and ``metrics``
record the answers, and ``health`` shows the figures. ``app`` combines everything into one ASGI application, and
``server`` runs it until a signal stops it.
"""

import os

# onnxruntime 1.29 and newer reports its use to its maker over the network unless this is set before the import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
