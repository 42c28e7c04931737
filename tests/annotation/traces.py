"""A project of reasoning traces for tests, and where the public data files are."""

import json
import os
from pathlib import Path

import pytest

from annotation.models import Membership, Project

SHARED = Path(os.environ.get("STUDIO_SHARED_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")
shared = pytest.mark.skipif(not SHARED.exists(), reason="the public data files are not on this machine")


def sample(name: str) -> list[dict]:
    return [json.loads(line) for line in (SHARED / name).open(encoding="utf-8")]


def steps_project(alice, bob=None, **fields) -> Project:
    made = Project.objects.create(name=fields.pop("name", "Sums"), kind="steps", **fields)
    Membership.objects.create(project=made, user=alice, role="manager")
    if bob:
        Membership.objects.create(project=made, user=bob, role="labeler")
    return made


def write(folder: Path, *rows: object, name: str = "rows.jsonl") -> Path:
    path = folder / name
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path
