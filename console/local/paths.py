"""Where the project's own files are, and how its functions behave in this process."""

from __future__ import annotations

import logging
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "template.yaml"
FUNCTIONS = ROOT / "functions"
MODEL_SERVICE = ROOT / "model_service"


def quiet_functions(level: str = "CRITICAL") -> None:
    """Let the functions log from ``level`` on only, and keep their metrics to themselves: their answers are shown."""
    os.environ["POWERTOOLS_METRICS_DISABLED"] = "true"
    os.environ["POWERTOOLS_LOG_LEVEL"] = level
    logging.getLogger("esteira").setLevel(level)
