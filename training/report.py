"""What preflight.json says, made ready for a page."""

from typing import Any


def digest(report: dict[str, Any]) -> dict[str, Any]:
    return {"errors": report.get("errors", []), "warnings": report.get("warnings", []), **report}
