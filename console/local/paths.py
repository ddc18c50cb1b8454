"""Where the project's own files are, and how its functions behave in this process."""

from __future__ import annotations

import logging
import os
from pathlib import Path

_HERE = Path(__file__).resolve().parents[1]
_INSTALLED = _HERE / "project"  # where a wheel has them; a checkout has them beside console/
ROOT = _INSTALLED if _INSTALLED.is_dir() else _HERE.parent
TEMPLATE = ROOT / "template.yaml"
SERVICE_TEMPLATE = ROOT / "service.yaml"
FUNCTIONS = ROOT / "functions"
MODEL_SERVICE = ROOT / "model_service"


def quiet_functions(level: str = "CRITICAL") -> None:
    """Let the functions log from ``level`` on only, and keep their metrics to themselves: their answers are shown."""
    os.environ["POWERTOOLS_METRICS_DISABLED"] = "true"
    os.environ["POWERTOOLS_LOG_LEVEL"] = level
    logging.getLogger("esteira").setLevel(level)
