"""What a wheel holds beside the console: the functions and the templates, as they lie in a checkout."""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PROJECT = "console/project"  # console/local/paths.py looks for them there


class Project(BuildHookInterface):  # type: ignore[type-arg]
    """Adds them to a wheel, and not to an editable installation, which has the checkout."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatch before a wheel is built."""
        if version == "standard":
            for name in ("functions", "template.yaml", "service.yaml"):
                build_data["force_include"][name] = f"{PROJECT}/{name}"
            # One line in site-packages, so that what ships is imported from there as it is in Lambda.
            build_data["force_include"]["console/local/esteira.pth"] = "esteira.pth"
