"""Rows of the public data files beside a checkout; a test that wants them skips, saying so, where they are not."""

import json
import os
from pathlib import Path

import pytest

FOLDER = Path(os.environ.get("STUDIO_SHARED_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")


def shared_rows(name: str) -> list[dict]:
    """The rows of a JSON-lines file of that folder."""
    file = FOLDER / name
    if not file.exists():
        pytest.skip(f"{name} is not beside this checkout")
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
