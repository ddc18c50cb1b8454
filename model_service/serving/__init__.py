"""The model, served. ``python -m serving`` runs it.

``card`` and ``model`` are the model itself. ``records`` takes what is sent, ``api`` answers it in JSON or CSV, ``page``
(with ``form``, ``answer``, ``pictures`` and ``words``) answers people. ``journal``, ``drift`` and ``metrics`` keep
account of the answers; ``health`` shows it. ``app`` puts all of it into one ASGI application, and ``server`` runs that
until it is told to stop.
"""

import os

# Since its version 1.29 onnxruntime reports its use to its maker over the network, unless told not to before it is
# imported. This service tells nobody anything.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
