"""Export a project of ranked prompts as JSON lines: lines and their parts a second, beside row by row through the ORM.

python -m benchmarks export                              # SQLite
DATABASE_URL=postgres://… python -m benchmarks export
"""

import json
import os
from pathlib import Path

from benchmarks._studio import fresh_studio, measured, rates

ROWS = int(os.environ.get("BENCH_ROWS", 100_000))
NAIVE = 1000


def main() -> None:
    with fresh_studio() as vendor:
        from annotation.models import Project

        small, project = seeded(Project, "Small", ROWS // 10), seeded(Project, "Large", ROWS)
        exported(small)
        with measured() as ours:
            assert exported(project) == ROWS
        with measured() as naive:
            row_by_row(project)
        lines, parts = rates(ours, ROWS), 5 * ROWS  # a line: the prompt, two completions, two ranks
        more = {"parts_per_s": round(parts / ours["s"]), "parts_per_cpu_s": round(parts / ours["cpu_s"])}
        print(json.dumps({"benchmark": "export", "database": vendor, **lines, **more, "naive": rates(naive, NAIVE)}))


def seeded(projects, name: str, count: int):
    from annotation.importing.ingest import import_path
    from benchmarks.ingest import rows

    project = projects.objects.create(name=name)
    path = Path(os.environ["STUDIO_HOME"]) / "export.jsonl"
    with path.open("w") as file:
        file.writelines(json.dumps(row | {"rankings": [[1, 2]]}) + "\n" for row in rows(count))
    import_path(project, path)
    return project


def exported(project) -> int:
    from annotation.export import export_lines

    count = 0
    with open(os.environ["STUDIO_HOME"] + "/out.jsonl", "w") as file:
        for lines in export_lines(project):
            file.writelines(lines)
            count += len(lines)
    return count


def row_by_row(project) -> None:
    with open(os.environ["STUDIO_HOME"] + "/naive.jsonl", "w") as file:
        for prompt in project.prompts.all()[:NAIVE]:
            completions = [{"id": c.pk, "text": c.text, "source": c.source} for c in prompt.completions.all()]
            rankings = [{r.completion_id: r.rank for r in ranking.ranked.all()} for ranking in prompt.rankings.all()]
            row = {"id": prompt.pk, "prompt": prompt.messages, "completions": completions, "rankings": rankings}
            file.write(json.dumps(row) + "\n")
