"""Search on the proving ground at N = 16: votes, ORM and PRM, beams; accuracy with intervals over held-out problems.

PROVING_GROUND=/folder python -m benchmarks search_provingground [curves.svg]

Goal: best-of-N weighted by the PRM > by the ORM > majority > one sample; beam search with no more tokens is no worse.
`differences` compares each with the one before it, on the same problems; both reward models weight the same votes. The
strategies that sample share the same solutions. `curves.svg` plots accuracy against N, plain best-of-N as well.
"""

import json
import os
import sys
from itertools import pairwise
from pathlib import Path

from benchmarks._ground import rounded, standing
from training.provingground.ground import Ground
from training.provingground.problems import SEPARATOR, Problem
from training.provingground.truth import answer_of, judge
from training.search import search
from training.search_curves import Point, Run, Sample, pool_curve, run_point
from training.search_draw import Settings
from training.step_metrics import bootstrap

N, PROBLEMS = 16, 200
NS = (1, 2, 4, 8, 16)


def main() -> None:
    with standing() as ground:
        problems = ground.problems(int(os.environ.get("BENCH_PROBLEMS", PROBLEMS)), seed="search")
        points, shares = measure(ground, problems)
        if len(sys.argv) > 1:
            draw(points, Path(sys.argv[1]))
        at_n = {point.strategy: point for point in points if point.n in (1, N)}
        print(json.dumps({
            "benchmark": "search_provingground", "n": N, "problems": len(problems),
            **{name: said(point) for name, point in at_n.items()}, "differences": differences(shares),
        }))  # fmt: skip


def said(point: Point) -> dict:
    return {
        "accuracy": round(point.accuracy, 3), "low": round(point.low, 3), "high": round(point.high, 3),
        "tokens": round(point.tokens),
    }  # fmt: skip


def measure(ground: Ground, problems: list[Problem]) -> tuple[list[Point], dict[str, list[float]]]:
    """Points of all strategies, and for each its chance to be right at N, problem by problem."""
    solutions = ground.policy.solve(problems, N, seed=5)
    by_prm, by_orm = (pools(ground, scorer, problems, solutions) for scorer in (ground.prm, ground.orm))
    beams = [[beam(ground, problem, pool)] for problem, pool in zip(problems, by_prm, strict=True)]
    points = pool_curve("majority", by_prm, NS) + pool_curve("any_right", by_prm, NS, "a perfect scorer")
    for name, scored in (("ORM", by_orm), ("PRM", by_prm)):
        points += pool_curve("best_of_n", scored, NS, f"{name} best of N")
        points += pool_curve("weighted", scored, NS, f"{name} weighted")
    points += [run_point("beam search", N, beams)]
    one = [Point("one sample", 1, p.accuracy, p.low, p.high, p.tokens, p.problems) for p in points[:1]]
    return one + points, {
        "one sample": [share(pool, "best_of_n", 1) for pool in by_prm],
        "majority": [share(pool, "majority", N) for pool in by_prm],
        "ORM weighted": [share(pool, "weighted", N) for pool in by_orm],
        "PRM weighted": [share(pool, "weighted", N) for pool in by_prm],
        "beam search": [float(run.right) for [run] in beams],
    }


def pools(ground: Ground, scorer, problems: list[Problem], solutions: list) -> list[list[Sample]]:
    """Every solution with its answer and score: the lowest of its steps', or the one number an ORM gives."""
    flat = [(problem, steps) for problem, several in zip(problems, solutions, strict=True) for steps in several]
    rated = [sample(ground, *each, scores) for each, scores in zip(flat, scorer.scores(flat), strict=True)]
    return [rated[at : at + N] for at in range(0, len(rated), N)]


def sample(ground: Ground, problem: Problem, steps: list[str], scores: list[float | None]) -> Sample:
    answer = answer_of(steps)
    value = min((score for score in scores if score is not None), default=0.0)
    tokens = len(ground.policy.model.tokenizer(SEPARATOR.join(steps), add_special_tokens=False)["input_ids"]) + 1
    return Sample(None if answer is None else str(answer), judge(problem, steps).solved, value, tokens)


def beam(ground: Ground, problem: Problem, pool: list[Sample]) -> Run:
    """A beam search that may write as many tokens as all solutions of the pool together."""
    budget = sum(sample.tokens for sample in pool)
    settings = Settings(n=N, max_tokens=160, step_tokens=8, budget=budget, seed=7, separator=SEPARATOR)
    found = search("beam", ground.policy.moves(problem), ground.prm.of(problem), settings)
    return Run(found.answer == str(problem.answer), found.policy_tokens)


def share(pool: list[Sample], strategy: str, n: int) -> float:
    from training.search_curves import FROM_POOL

    return FROM_POOL[strategy](pool, n)


def differences(shares: dict[str, list[float]]) -> dict[str, list[float]]:
    """How much each strategy is above the one before it, on the same problems, with its interval."""
    found = {}
    for (worse, low), (better, high) in pairwise(shares.items()):
        found[f"{better} − {worse}"] = rounded(bootstrap([b - a for a, b in zip(low, high, strict=True)]))
    return found


def draw(points: list[Point], path: Path) -> None:
    from benchmarks._chart import chart

    lines: dict[str, list] = {}
    for point in points:
        if point.strategy != "one sample":
            lines.setdefault(point.strategy, []).append((point.n, point.accuracy, point.low, point.high))
    path.write_text(chart("Right answers by N", "N (beam search: the same tokens)", "share of problems", lines))


if __name__ == "__main__":
    main()
