"""Freeze rankings of four completions into pairs (JSONL and Parquet): seconds and memory, beside one query a ranking.

python -m benchmarks freeze                              # SQLite
DATABASE_URL=postgres://… python -m benchmarks freeze
"""

import json
import os
from pathlib import Path

from benchmarks._studio import fresh_studio, measured, rates

RANKINGS = int(os.environ.get("BENCH_ROWS", 100_000))
NAIVE = 1000
SENTENCE = "a plain answer of forty words or so that says what it has to say and then a little more "


def main() -> None:
    with fresh_studio() as vendor:
        from annotation.freezing.freeze import freeze
        from annotation.models import Project

        small, project = seeded(Project, "Small", RANKINGS // 10), seeded(Project, "Large", RANKINGS)
        freeze(small, "Warm-up", background=False)
        with measured() as ours:
            dataset = freeze(project, "Pairs", background=False)
        pairs = dataset.rows_train + dataset.rows_eval
        assert pairs == 6 * RANKINGS, dataset.message
        with measured() as again:
            assert freeze(project, "Again", background=False).again
        with measured() as naive:
            ranking_by_ranking(project)
        figures = {"rankings": RANKINGS, "again_s": round(again["s"], 2), "naive": rates(naive, 6 * NAIVE)}
        print(json.dumps({"benchmark": "freeze", "database": vendor, **rates(ours, pairs), **figures}))


def seeded(projects, name: str, count: int):
    from annotation.importing.ingest import import_path

    project = projects.objects.create(name=name)
    path = Path(os.environ["STUDIO_HOME"]) / "rankings.jsonl"
    with path.open("w") as file:
        for n in range(count):
            answers = [2 * SENTENCE[(n + k) % 7 :] + f"{n}.{k}" for k in range(4)]
            row = {"prompt": f"{name} question {n}?", "completions": answers, "rankings": [[2, 4, 1, 3]]}
            file.write(json.dumps(row) + "\n")
    import_path(project, path)
    return project


def ranking_by_ranking(project) -> None:
    from itertools import combinations

    from annotation.models import Ranking

    with open(os.environ["STUDIO_HOME"] + "/naive.jsonl", "w") as file:
        for ranking in Ranking.objects.filter(prompt__project=project)[:NAIVE]:
            places = sorted(ranking.ranked.all(), key=lambda place: place.rank)
            for high, low in combinations(places, 2):
                row = {
                    "prompt": ranking.prompt.messages,
                    "chosen": high.completion.text,
                    "rejected": low.completion.text,
                }
                file.write(json.dumps(row) + "\n")
