"""Import, freeze and export traces of six labeled steps, with values by a machine: rows a second and memory.

python -m benchmarks traces                              # SQLite
DATABASE_URL=postgres://… python -m benchmarks traces
"""

import json
import os
from pathlib import Path

from benchmarks._studio import fresh_studio, measured, rates

ROWS = int(os.environ.get("BENCH_ROWS", 100_000))
STEP = "so the next thing to do is to take what was found and go on from there with the number"


def main() -> None:
    with fresh_studio() as vendor:
        from annotation.freezing.freeze import freeze
        from annotation.models import Project

        small, project = (Project.objects.create(name=name, kind="steps") for name in ("Small", "Large"))
        imported(small, ROWS // 10)
        freeze(small, "Warm-up", {"sources": ["import"]}, background=False)
        path = written(ROWS)
        with measured() as landing:
            landed(project, path)
        with measured() as again:
            landed(project, path)
        with measured() as hard:
            made(freeze(project, "Hard", {"sources": ["import"]}, background=False))
        with measured() as soft:
            options = {"sources": ["import"], "labels": "soft", "policy": "first_error"}
            made(freeze(project, "Soft", options, background=False))
        with measured() as twin:
            assert freeze(project, "Again", {"sources": ["import"]}, background=False).again
        with measured() as out:
            exported(project)
        told = {"import": landing, "import_again": again, "freeze_hard": hard, "freeze_soft": soft, "export": out}
        figures = {name: rates(found, ROWS) for name, found in told.items()}
        figures["freeze_again_s"] = round(twin["s"], 2)
        print(json.dumps({"benchmark": "traces", "database": vendor, "traces": ROWS, **figures}))


def imported(project, rows: int) -> None:
    landed(project, written(rows))


def landed(project, path: Path) -> None:
    from annotation.importing.ingest import import_path

    job = import_path(project, path)
    assert job.rows == job.added + job.known and not job.bad, job.problems[:3]


def written(rows: int) -> Path:
    """Two solutions a problem; the values fall where the mistake is."""
    path = Path(os.environ["STUDIO_HOME"]) / f"traces-{rows}.jsonl"
    with path.open("w") as file:
        for n in range(rows):
            steps = [f"{STEP} {n * 7 % 1000 + k}." for k in range(6)]
            values = [0.75 if k < n % 7 else 0.0 for k in range(6)]
            row = {"prompt": f"Problem {n // 2}?", "completions": steps, "labels": values}
            file.write(json.dumps(row) + "\n")
    return path


def made(dataset) -> None:
    assert dataset.rows_train + dataset.rows_eval == ROWS, dataset.message


def exported(project) -> None:
    from annotation.export import export_lines

    with (Path(os.environ["STUDIO_HOME"]) / "out.jsonl").open("w") as file:
        for lines in export_lines(project):
            file.writelines(lines)
