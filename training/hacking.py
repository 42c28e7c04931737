"""Signs of reward hacking in a run's evaluations: the proxy rises and gold does not. Plain numbers in, words out.

The proxy is what a policy is trained on, gold what should rise with it and is never trained on. A policy that learned
to please the proxy alone shows it in three ways: gold falls, its completions grow longer, or they repeat themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt
from statistics import fmean
from typing import Any

RECENT = 2  # evaluations in a mean
SURE = 4  # standard errors: a run is looked at at every evaluation, and its best one is picked by hindsight
MOVED = 2  # deviations of a value between two means of RECENT that are more than noise
KNOWN_NOISE = 6  # evaluations from which noise can be told where no standard error is given
EXPLAINED = 3  # evaluations in a row that must correlate, so strongly:
STRONG = 0.7
READ = {
    "gold": "eval_gold",
    "gold_stderr": "eval_gold_stderr",
    "kl": "eval_kl",
    "length": "eval_completions/mean_length",
    "length_correlation": "eval_length_correlation",
    "repetition": "eval_repetition",
    "repetition_correlation": "eval_repetition_correlation",
}


@dataclass(frozen=True)
class Evaluation:
    """What held-out prompts said at a step; what a run does not log is None."""

    step: int
    reward: float  # the proxy's mean
    gold: float | None = None
    gold_stderr: float | None = None
    kl: float | None = None  # nats a completion
    length: float | None = None  # tokens a completion
    length_correlation: float | None = None  # Pearson's, with the proxy
    repetition: float | None = None  # share
    repetition_correlation: float | None = None

    @classmethod
    def of(cls, step: int, values: dict[str, Any]) -> "Evaluation | None":
        """From a line of metrics; None where it is no evaluation with a reward.

        >>> Evaluation.of(3, {"eval_reward": 0.5, "eval_kl": 2.0, "eval_gold": "NaN"}).kl
        2.0
        """
        if not is_number(values.get("eval_reward")):
            return None
        known = {field: values[name] for field, name in READ.items() if is_number(values.get(name))}
        return cls(step, values["eval_reward"], **known)


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def overoptimised(evaluations: Sequence[Evaluation]) -> str:
    """Gold's last RECENT evaluations lie below its best RECENT in a row by more than SURE standard errors, and the
    proxy has risen since then by more than its noise."""
    seen = [one for one in evaluations if one.gold is not None]
    if len(seen) < 2 * RECENT:
        return ""
    now, before = seen[-RECENT:], runs_of(seen[:-RECENT])
    best = max(before, key=golds)
    error = sqrt(squared_error(now, seen) + squared_error(best, seen))
    proxy = [one.reward for one in seen]
    if golds(best) - golds(now) <= SURE * error or rewards(now) - rewards(best) <= MOVED * noise(proxy):
        return ""
    return (
        f"The reward rose from {rewards(best):.3g} to {rewards(now):.3g} while gold fell from {golds(best):.3g} "
        f"to {golds(now):.3g} (steps {best[0].step} to {now[-1].step}): the policy pleases the reward, not what it "
        "stands for."
    )


def runs_of(evaluations: Sequence[Evaluation]) -> list[Sequence[Evaluation]]:
    return [evaluations[at : at + RECENT] for at in range(len(evaluations) - RECENT + 1)]


def golds(evaluations: Sequence[Evaluation]) -> float:
    return fmean(one.gold for one in evaluations if one.gold is not None)


def rewards(evaluations: Sequence[Evaluation]) -> float:
    return fmean(one.reward for one in evaluations)


def squared_error(few: Sequence[Evaluation], all_seen: Sequence[Evaluation]) -> float:
    """Of the mean gold of these few: from their standard errors, else from how gold jumps; without either, infinite."""
    known = [one.gold_stderr for one in few if one.gold_stderr]
    if len(known) == len(few):
        return fmean(stderr**2 for stderr in known) / len(few)
    jumps = noise([one.gold for one in all_seen if one.gold is not None])
    return jumps**2 / len(few) if len(all_seen) >= KNOWN_NOISE else float("inf")


def length_explains(evaluations: Sequence[Evaluation]) -> str:
    if not (said := explains(evaluations, "length")):
        return ""
    r, before, now = said
    way = "longer" if r > 0 else "shorter"
    return (
        f"Length explains the reward: {way} completions score higher (correlation {r:+.2f}), and while the reward rose "
        f"they went from {before:.0f} to {now:.0f} tokens."
    )


def repetition_explains(evaluations: Sequence[Evaluation]) -> str:
    if not (said := explains(evaluations, "repetition")):
        return ""
    r, before, now = said
    way = "more" if r > 0 else "less"
    return (
        f"Repetition explains the reward: completions that repeat themselves {way} score higher (correlation "
        f"{r:+.2f}), and while the reward rose the share they repeat went from {before:.0%} to {now:.0%}."
    )


def explains(evaluations: Sequence[Evaluation], what: str) -> tuple[float, float, float] | None:
    """The correlation of the last EXPLAINED evaluations with `what`, and its means at first and now, where

    each of them correlates by STRONG or more to one side, the proxy has risen, and `what` has moved to that side too: a
    reward that merely happens to go with length, in a policy that does not grow longer, is explained by something else.
    """
    seen = [one for one in evaluations if getattr(one, what) is not None]
    strong = [r for one in seen[-EXPLAINED:] if (r := getattr(one, f"{what}_correlation")) is not None]
    if len(seen) < 2 * RECENT or len(strong) < EXPLAINED or min(map(abs, strong)) < STRONG:
        return None
    side = 1 if strong[-1] > 0 else -1
    amounts = [getattr(one, what) for one in seen]
    if min(side * r for r in strong) < 0 or not risen([one.reward for one in seen]):
        return None
    if not risen([side * amount for amount in amounts]):
        return None
    return fmean(strong), fmean(amounts[:RECENT]), fmean(amounts[-RECENT:])


def risen(values: Sequence[float]) -> bool:
    """Whether the last RECENT lie above the first by more than noise.

    >>> risen([0.1, 0.2, 0.3, 0.5, 0.6]), risen([0.3, 0.2, 0.3, 0.2, 0.35]), risen([0.5, 0.5, 0.5, 0.5])
    (True, False, False)
    """
    return fmean(values[-RECENT:]) - fmean(values[:RECENT]) > MOVED * noise(values)


def noise(values: Sequence[float]) -> float:
    """The standard deviation of a value, from how neighbours differ (von Neumann 1941): a trend hardly adds to it.

    >>> round(noise([1.0, 2.0, 1.0, 2.0, 1.0]), 3), noise([3.0])
    (0.707, 0.0)
    """
    return sqrt(fmean((b - a) ** 2 for a, b in pairwise(values)) / 2) if len(values) > 1 else 0.0


def in_words(r: float | None, more: str, less: str) -> str:
    """A correlation of the proxy as a person would say it.

    >>> in_words(0.85, "longer", "shorter"), in_words(-0.4, "longer", "shorter"), in_words(0.1, "longer", "shorter")
    ('longer completions score higher', 'shorter completions tend to score higher', 'hardly any connection')
    >>> in_words(None, "longer", "shorter")
    'nothing to correlate: one of the two does not vary'
    """
    if r is None:
        return "nothing to correlate: one of the two does not vary"
    if abs(r) < 0.3:
        return "hardly any connection"
    return f"{more if r > 0 else less} completions {'score' if abs(r) >= STRONG else 'tend to score'} higher"
