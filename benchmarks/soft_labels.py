"""Monte-Carlo labels of steps against the truth: hard and soft, N = 4 and 16, on traces of the proving ground.

PROVING_GROUND=/folder python -m benchmarks soft_labels [errors.svg]

Two truths: `chance`, the policy's own chance to reach the answer from the prefix (estimated from MANY completions more,
whose scatter is taken off), which soft labels estimate; and `correct`, whether every step so far is right, which hard
labels guess. Errors are root mean squares of label − truth; of a hard label against `correct`, its square is its share
of mistakes.
"""

import json
import os
import random
import sys
from pathlib import Path

from benchmarks._ground import standing
from training.provingground.ground import Ground
from training.step_metrics import bootstrap, mean

NS, MANY, TRACES = (1, 2, 4, 8, 16), 128, 60


def main() -> None:
    with standing() as ground:
        steps = counted(ground, int(os.environ.get("BENCH_TRACES", TRACES)))
        errors = {f"{kind} against {truth}": curve(steps, kind, truth) for kind in KINDS for truth in TRUTHS}
        if len(sys.argv) > 1:
            from benchmarks._chart import chart

            lines = {name: [(n, *values) for n, values in line.items()] for name, line in errors.items()}
            picture = chart("Error of Monte-Carlo labels", "N", "root mean square", lines, 0.6)
            Path(sys.argv[1]).write_text(picture)
        told = {name: {f"n{n}": [round(v, 3) for v in line[n]] for n in (4, 16)} for name, line in errors.items()}
        rounds = sum(len(trace) for trace in steps)
        print(json.dumps({"benchmark": "soft_labels", "traces": len(steps), "steps": rounds, "many": MANY, **told}))


KINDS = {"soft": lambda count: count.soft, "hard": lambda count: float(count.hard)}
TRUTHS = {
    "chance": lambda many, good: (many.soft, many.soft * (1 - many.soft) / (many.tried - 1)),
    "correct": lambda many, good: (float(good), 0.0),
}


def counted(ground: Ground, traces: int) -> list[list[tuple]]:
    """For every step but the last of some traces: N completions for each N, MANY others, and whether it is right."""
    chosen = random.Random(0).sample(ground.held_out, min(traces, len(ground.held_out)))
    pairs = [(trace.problem, trace.steps) for trace in chosen if len(trace.steps) > 1]
    many = ground.policy.label(pairs, MANY, seed=11)
    few = {n: ground.policy.label(pairs, n, seed=100 + n) for n in NS}
    return [
        [
            ({n: few[n][at][end] for n in NS}, many[at][end], trace.truth.labels[end - 1])
            for end in range(1, len(trace.steps))
        ]
        for at, trace in enumerate(trace for trace in chosen if len(trace.steps) > 1)
    ]


def curve(steps: list[list[tuple]], kind: str, truth: str) -> dict[int, tuple[float, float, float]]:
    return {n: bootstrap(steps, lambda some, n=n: rmse(some, n, kind, truth)) for n in NS}


def rmse(traces: list[list[tuple]], n: int, kind: str, truth: str) -> float:
    """Traces are what is resampled; the scatter of the truth's own estimate is no error of the label."""
    squares = []
    for trace in traces:
        for few, many, good in trace:
            value, scatter = TRUTHS[truth](many, good)
            squares.append((KINDS[kind](few[n]) - value) ** 2 - scatter)
    return max(0.0, mean(squares)) ** 0.5


if __name__ == "__main__":
    main()
