"""Training curves thin enough to draw: extremes survive, length does not. Plain numbers in, plain numbers out."""

import math
import re
from collections.abc import Iterable
from typing import Any

BUCKETS = 1000  # a curve has at most two points in each

PARTS = ("", "mean reward", [])  # one chart for each part of a reward, named after it
PART = re.compile(r"(?:eval_)?rewards/(.+)/mean")

# What stands on one chart: title, unit, and its series in the order of the legend.
PANELS = [
    ("Loss", "", ["loss", "eval_loss"]),
    (
        "Accuracy",
        "share right",
        [
            *("rewards/accuracies", "eval_rewards/accuracies", "accuracy", "eval_accuracy"),
            *("mean_token_accuracy", "eval_mean_token_accuracy", "step_accuracy", "eval_step_accuracy"),
        ],
    ),
    (
        "First errors",
        "share of traces",
        ["eval_first_error_accuracy", "eval_processbench_f1", "eval_error_acc", "eval_correct_acc"],
    ),
    ("Area under the curve", "right above wrong", ["eval_auc"]),
    ("Calibration error", "share off", ["eval_calibration_error"]),
    ("Called bad", "share of steps", ["called_bad", "labeled_bad"]),
    ("Margin", "chosen − rejected", ["rewards/margins", "eval_rewards/margins", "margin", "eval_margin"]),
    (
        "Log-probability",
        "nats a completion",
        ["logps/chosen", "logps/rejected", "eval_logps/chosen", "eval_logps/rejected"],
    ),
    (
        "Reward",
        "",
        [
            *("rewards/chosen", "rewards/rejected", "eval_rewards/chosen", "eval_rewards/rejected"),
            *("mean_reward", "min_reward", "max_reward", "eval_mean_reward", "eval_min_reward", "eval_max_reward"),
            *("reward", "eval_reward", "reward_best", "objective/rlhf_reward"),
        ],
    ),
    ("Gold", "never trained on", ["eval_gold"]),
    PARTS,
    ("KL to the reference", "nats a completion", ["objective/kl", "eval_kl"]),
    ("KL to the reference, by token", "nats a token", ["kl"]),
    ("Length", "tokens a completion", ["completions/mean_length", "eval_completions/mean_length"]),
    ("Repetition", "share of 4-word sequences", ["eval_repetition"]),
    ("The reward goes with", "correlation", ["eval_length_correlation", "eval_repetition_correlation"]),
    ("Cut off", "share of completions", ["completions/clipped_ratio", "eval_completions/clipped_ratio"]),
    ("Groups without spread", "share", ["frac_reward_zero_std"]),
    ("Clipped", "share of tokens", ["policy/clipfrac_avg", "val/clipfrac_avg", "clip_ratio/region_mean"]),
    ("Value head", "explained variance", ["val/explained_variance"]),
    ("Self-corrections", "a completion", ["completions/self_corrections", "eval_completions/self_corrections"]),
    ("Learning rate", "", ["learning_rate"]),
    ("Speed", "tokens a second", ["tokens_per_second"]),
    ("Seconds of a step", "seconds", ["time/draw", "time/rewards", "time/learn", "time/other"]),
    ("Gradient norm", "", ["grad_norm"]),
    ("Entropy", "nats a token", ["entropy", "eval_entropy"]),
    ("Memory", "bytes", ["rss_bytes", "gpu_memory_bytes"]),
    ("Processor", "percent of one core", ["cpu_percent"]),
]
FIRST = 24  # panels that are looked at first; the rest waits below them
MACHINE = {"rss_bytes", "gpu_memory_bytes", "cpu_percent", "tokens_per_second", "seconds_per_step"}
MACHINE |= {"time/draw", "time/rewards", "time/learn", "time/other"}
UNDRAWN = {"rewards/reward/mean", "eval_rewards/reward/mean"}  # TRL's word for the sum of all parts, drawn as `reward`
UNDRAWN |= {"rewards/reward/std", "eval_rewards/reward/std"}
UNDRAWN |= {"epoch", "num_tokens", "eval_num_tokens", "eval_gold_stderr", "total_flos", "seconds_per_step"}


class Curve:
    """One series. When its buckets are used up, neighbours merge; each keeps its lowest and its highest point.

    >>> curve = Curve()
    >>> for step in range(100_000):
    ...     curve.add(step, 0.0, 9.0 if step == 77_777 else step % 2)
    >>> len(curve.points()) <= 2 * BUCKETS, [77_777, 0.0, 9.0] in curve.points()
    (True, True)
    """

    def __init__(self, width: int = 1, filled: int = 0, buckets: list | None = None):
        self.width, self.filled = width, filled  # points in a bucket, points in the last one
        self.buckets = buckets if buckets is not None else []  # [lowest, highest], each [step, time, value]
        self.step = max(point[0] for point in self.buckets[-1]) if self.buckets else -1

    def add(self, step: int, time: float, value: float) -> None:
        """Append a point; a step that comes again (a resumed run) replaces what came from there on."""
        point = [step, time, value]
        if step <= self.step:
            self.rewind(step)
        self.step = step
        if not self.buckets or self.filled >= self.width:
            if len(self.buckets) >= BUCKETS:
                self.merge()
            self.buckets.append([point, point])
            self.filled = 1
            return
        last = self.buckets[-1]
        if value < last[0][2]:
            last[0] = point
        elif value > last[1][2]:
            last[1] = point
        self.filled += 1

    def merge(self) -> None:
        pairs = zip(self.buckets[::2], self.buckets[1::2], strict=True)
        self.buckets = [[min(a[0], b[0], key=value_of), max(a[1], b[1], key=value_of)] for a, b in pairs]
        self.width *= 2

    def rewind(self, step: int) -> None:
        kept = [[point for point in bucket if point[0] < step] for bucket in self.buckets]
        self.buckets = [[bucket[0], bucket[-1]] for bucket in kept if bucket]
        self.filled = self.width

    def points(self) -> list[list]:
        """[step, time, value] in the order of the steps."""
        found = []
        for low, high in self.buckets:
            found += [low] if low[0] == high[0] else sorted([low, high])
        return found

    def columns(self) -> dict[str, list]:
        steps, times, values = zip(*self.points(), strict=True) if self.buckets else ((), (), ())
        return {"steps": list(steps), "times": list(times), "values": [rounded(value) for value in values]}

    def as_json(self) -> list:
        return [self.width, self.filled, self.buckets]


def value_of(point: list) -> float:
    return point[2]


def rounded(value: float) -> float:
    """Six digits are more than a screen shows."""
    return float(f"{value:.6g}")


def extend(curves: dict[str, Curve], rows: Iterable[tuple[int, float, dict[str, Any]]]) -> None:
    """Add (step, time, values) rows; words such as "NaN" and anything that is no number leave a gap."""
    for step, time, values in rows:
        for name, value in values.items():
            if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
                if name not in curves:
                    curves[name] = Curve()
                curves[name].add(step, time, value)


def panels(names: Iterable[str]) -> list[dict[str, Any]]:
    """The charts these series need: the known ones in their order, then one for each that is left.

    >>> [(panel["title"], panel["more"]) for panel in panels(["eval_loss", "loss", "epoch", "frac_reward_zero_std"])]
    [('Loss', False), ('Groups without spread', False)]
    >>> [panel["title"] for panel in panels(["rewards/math/std", "rewards/prm:a/mean", "rewards/math/mean"])]
    ['prm:a', 'math', 'rewards/math/std']
    """
    left = [name for name in names if name not in UNDRAWN]
    found = []
    for place, (title, unit, series) in enumerate(PANELS):
        for heading, members in [(title, series)] if series else parts(left):
            here = [name for name in members if name in left]
            if here:
                known = {"title": heading, "unit": unit, "series": here, "more": place >= FIRST}
                found.append(known | ({} if series else {"verbatim": True}))
            left = [name for name in left if name not in here]
    alone = [name for name in left if not (name.startswith("eval_") and name[5:] in left)]
    both = [(name, [n for n in (name, f"eval_{name}") if n in left]) for name in alone]
    return found + [{"title": name, "unit": "", "series": series, "more": True} for name, series in both]


def parts(names: Iterable[str]) -> list[tuple[str, list[str]]]:
    """Parts of a reward that these series are of, each with its series."""
    labels = dict.fromkeys(found[1] for name in names if (found := PART.fullmatch(name)))
    return [(label, [f"rewards/{label}/mean", f"eval_rewards/{label}/mean"]) for label in labels]


ACCURACY = ("rewards/accuracies", "accuracy", "step_accuracy", "mean_token_accuracy")
MARGIN = ("rewards/margins", "margin")


def headline(latest: dict[str, Any]) -> dict[str, Any]:
    """The two numbers a list of runs shows, from held-out rows where there are any.

    >>> headline({"rewards/accuracies": 0.9, "eval_rewards/accuracies": 0.7})
    {'accuracy': 0.7, 'accuracy_held_out': True, 'margin': None, 'margin_held_out': False}
    """
    found: dict[str, Any] = {}
    for title, names in (("accuracy", ACCURACY), ("margin", MARGIN)):
        held_out = next((latest[f"eval_{name}"] for name in names if f"eval_{name}" in latest), None)
        value = held_out if held_out is not None else next((latest[name] for name in names if name in latest), None)
        found |= {title: value, f"{title}_held_out": held_out is not None}
    return found
