"""A process and an outcome reward model on the proving ground, where every step's truth is known, side by side.

PROVING_GROUND=/folder python -m benchmarks prm_provingground     # goal: first-error F1 ≥ 0.90, calibration ≤ 0.05

Both learn from the same traces of the same policy with the same settings; measured is on problems neither has seen. The
outcome reward model has one number for a trace, so of first errors it can only say whether there is one.
"""

import json

from benchmarks._ground import rounded, standing
from training import step_metrics
from training.provingground.ground import Ground


def main() -> None:
    with standing() as ground:
        print(json.dumps({"benchmark": "prm_provingground", **measure(ground)}))


def measure(ground: Ground) -> dict:
    traces = ground.held_out
    pairs = [(trace.problem, trace.steps) for trace in traces]
    by_step, outcomes = ground.prm.scores(pairs), [scores[-1] for scores in ground.orm.scores(pairs)]
    return {
        "problems": len({trace.problem for trace in traces}),
        "traces": len(traces),
        "solved": round(sum(trace.truth.solved for trace in traces) / len(traces), 3),
        "prm": of_steps(traces, by_step),
        "prm_on_outcomes": of_outcomes(traces, [min(scores) for scores in by_step]),
        "orm": of_outcomes(traces, outcomes),
    }


def of_steps(traces: list, by_step: list) -> dict:
    true = [trace.truth.first_error for trace in traces]
    said = [step_metrics.first_error(scores) for scores in by_step]
    known = [t.truth.first_error if t.truth.first_error is not None else len(t.steps) for t in traces]
    probs = [p for scores, last in zip(by_step, known, strict=True) for p in scores[: last + 1]]
    labels = [label for t, last in zip(traces, known, strict=True) for label in t.truth.labels[: last + 1]]
    units = by_problem(traces, list(zip(true, said, strict=True)))
    f1 = step_metrics.bootstrap(units, lambda some: step_metrics.first_error_f1(*columns(some)))
    bench = step_metrics.processbench(true, said)
    return {
        "first_error_f1": rounded(f1),
        "error_acc": round(bench["error_acc"], 3),
        "correct_acc": round(bench["correct_acc"], 3),
        "step_accuracy": round(step_metrics.step_accuracy(probs, labels), 3),
        "calibration_error": round(step_metrics.calibration(probs, labels)["ece"], 3),
    }


def of_outcomes(traces: list, probs: list[float]) -> dict:
    """How well a trace's one number tells whether its answer is right."""
    solved = [trace.truth.solved for trace in traces]
    units = by_problem(traces, [float((p >= 0.5) == right) for p, right in zip(probs, solved, strict=True)])
    accuracy = step_metrics.bootstrap(units, lambda some: step_metrics.mean([one for unit in some for one in unit]))
    return {
        "accuracy": rounded(accuracy),
        "auc": round(step_metrics.auc(probs, solved), 3),
        "calibration_error": round(step_metrics.calibration(probs, solved)["ece"], 3),
    }


def columns(units: list[list[tuple]]) -> tuple:
    return tuple(zip(*(pair for pairs in units for pair in pairs), strict=True))


def by_problem(traces: list, values: list) -> list[list]:
    """Values of traces of one problem together: problems are what is independent."""
    groups: dict = {}
    for trace, value in zip(traces, values, strict=True):
        groups.setdefault(trace.problem, []).append(value)
    return list(groups.values())


if __name__ == "__main__":
    main()
