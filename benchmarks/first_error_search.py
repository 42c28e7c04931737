"""Binary search for the first error against the full sweep, on wrong traces of 8 steps: completions and agreement.

PROVING_GROUND=/folder python -m benchmarks first_error_search        # goal: at most half of the completions

Both ask the same N completions of each prefix, so that they differ by what they ask for, never by chance. Estimates are
clean where completions succeed before the first error and none does after it.
"""

import json
from itertools import islice

from benchmarks._ground import standing
from training.montecarlo import Found, bisect, completions_tried, drive, first_bad
from training.provingground.ground import Ground
from training.provingground.problems import draw_problems
from training.provingground.truth import judge

STEPS, N, TRACES = 8, 16, 60


def main() -> None:
    with standing() as ground:
        print(json.dumps({"benchmark": "first_error_search", "steps": STEPS, "n": N, **measure(ground)}))


def measure(ground: Ground, steps: int = STEPS) -> dict:
    traces = wrong_traces(ground, steps)
    sweeps = ground.policy.label(traces, N, seed=21)
    roots = ground.policy.counts([(*trace, [0]) for trace in traces], N, seed=22)
    known = [counts | root for counts, root in zip(sweeps, roots, strict=True)]
    found = [search(len(steps), counts) for (_, steps), counts in zip(traces, known, strict=True)]
    true = [judge(*trace).first_error for trace in traces]
    swept = [first_bad(counts, len(steps)) for counts, (_, steps) in zip(sweeps, traces, strict=True)]
    clean = [at for at, counts in enumerate(sweeps) if clear(counts, true[at])]
    cost = sum(completions_tried(counts, len(steps)) for counts, (_, steps) in zip(sweeps, traces, strict=True))
    cheap = sum(completions_tried(one.counts, one.steps) for one in found)
    same = [one.first_error == other for one, other in zip(found, swept, strict=True)]
    hits = {
        "search_true": sum(one.first_error == first for one, first in zip(found, true, strict=True)),
        "sweep_true": sum(one == first for one, first in zip(swept, true, strict=True)),
    }
    return {
        "traces": len(traces),
        "sweep_completions": cost,
        "search_completions": cheap,
        "share": round(cheap / cost, 3),
        "same_where_clean": f"{sum(same[at] for at in clean)} of {len(clean)}",
        "same": f"{sum(same)} of {len(traces)}",
        **{name: f"{hit} of {len(traces)}" for name, hit in hits.items()},
    }


def search(steps: int, counts: dict) -> Found:
    """What a binary search makes of estimates that are there for every prefix."""
    return drive(bisect(steps), lambda prefixes: {at: counts[at] for at in prefixes})


def wrong_traces(ground: Ground, steps: int) -> list:
    """Traces of so many steps whose answer is wrong, one a problem."""
    problems = list(islice(draw_problems("first error", steps - 1, steps - 1), 3 * TRACES))
    solved = zip(problems, ground.policy.solve(problems, 1, seed=3), strict=True)
    wrong = ((problem, one) for problem, [one] in solved if not judge(problem, one).solved)
    return [trace for trace in wrong if len(trace[1]) == steps][:TRACES]


def clear(counts: dict, first_error: int | None) -> bool:
    """Whether the estimates are clean: completions succeed before the first error, and none after it."""
    return all(counts[at].hard == (first_error is None or at <= first_error) for at in counts)


if __name__ == "__main__":
    main()
