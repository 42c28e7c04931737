"""Import prompts with two short completions from JSONL: rows a second and memory, beside row by row through the ORM.

python -m benchmarks ingest                              # SQLite
DATABASE_URL=postgres://… BENCH_ROWS=1000000 python -m benchmarks ingest
"""

import json
import os
from pathlib import Path

from benchmarks._studio import fresh_studio, measured, rates

ROWS = int(os.environ.get("BENCH_ROWS", 100_000))
NAIVE_ROWS = 2000


def main() -> None:
    with fresh_studio() as vendor:
        from annotation.importing.ingest import import_path
        from annotation.models import Project

        small, large = (written(rows) for rows in (ROWS // 4, ROWS))
        import_path(Project.objects.create(name="Warm-up"), small)
        project = Project.objects.create(name="Bulk")
        with measured() as ours:
            job = import_path(project, large)
        assert job.added == ROWS == project.prompts.count(), job.message
        with measured() as again:
            assert import_path(project, large).known == ROWS
        with measured() as naive:
            row_by_row(Project.objects.create(name="Naive"))
        figures = {"again": rates(again, ROWS), "naive": rates(naive, NAIVE_ROWS)}
        print(json.dumps({"benchmark": "ingest", "database": vendor, **rates(ours, ROWS), **figures}))


def rows(count: int):
    for n in range(count):
        answers = [f"Yes: the answer to {n} is short, and here it is.", f"No. There is no good answer to question {n}."]
        yield {
            "prompt": f"Question {n}: what should one know about the number {n * 7919 % 1_000_003}?",
            "completions": answers,
        }


def written(count: int) -> Path:
    path = Path(os.environ["STUDIO_HOME"]) / f"{count}.jsonl"
    with path.open("w") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows(count))
    return path


def row_by_row(project) -> None:
    """What a first version would do: look each prompt up, then save it and its completions."""
    from annotation.models import Completion, Prompt, fingerprint

    for row in rows(NAIVE_ROWS):
        messages = [{"role": "user", "content": row["prompt"]}]
        fields = {"messages": messages, "text": row["prompt"], "open_slots": 1}
        prompt, _ = Prompt.objects.get_or_create(project=project, fingerprint=fingerprint(messages), defaults=fields)
        for text in row["completions"]:
            Completion.objects.get_or_create(prompt=prompt, fingerprint=fingerprint(text), defaults={"text": text})
        project.prompt_count += 1
        project.save()
