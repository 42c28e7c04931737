"""Watch a training's metrics for the ways it goes wrong. Plain numbers in, alarms with advice out."""

from collections import deque
from itertools import pairwise
from math import sqrt
from statistics import fmean, median, variance
from typing import Any

from training.hacking import Evaluation, length_explains, overoptimised, repetition_explains

WINDOW = 10  # points in a mean
NOISE = 4  # standard errors: a run is looked at at every line, so rare chances come up
CHANCE_AFTER = 40  # points seen before "stuck at chance" may be said
STUCK, LEARNING = 0.54, 0.6  # accuracies: as good as chance, and what a run that learns has by then
SURE = 2  # standard errors
COLLAPSED = 0.1  # of the entropy there was, where there was
UNDECIDED = 0.1  # nats a token or more
MOST_EVALUATIONS = 200
FEW_EVALUATIONS = 3  # in a median
FAR = 20.0, 0.2  # KL to ref_model in nats a completion, and a token: both above, and little of ref_model is left
USUAL_LENGTH = 100  # tokens, where a run does not say how long its completions are
ADVICE = {
    "nan": "Resume will not help: launch again with learning_rate a tenth as high, more warm-up, or precision fp32.",
    "logps_falling": "The model unlearns both sides. Lower learning_rate, raise beta, or train SFT on the "
    "chosen side first.",
    "chance": "It does not learn to tell the sides apart. Raise learning_rate, check the labels' agreement and the "
    "pairs' contradictions on the dataset page, or train longer.",
    "names_no_step": "Set bad_step_weight (for whole solutions, wrong_weight) to 0, which balances both classes; train "
    "longer, or raise learning_rate.",
    "diverging": "Stop it and launch again with a lower learning_rate, more warm-up, or a smaller max_grad_norm.",
    "overoptimised": "Stop it: the best model by gold lies behind, and gold_patience ends the next run there. Or "
    "reward what gold sees, or stay nearer to ref_model: a higher beta or kl_coef.",
    "length_explains": "Read the rollouts with the highest reward. If they are no better, add a part such as "
    "length -0.1 target=200 to the rewards, or train the reward model on pairs of about equal length.",
    "repetition_explains": "Read the rollouts with the highest reward. Add a part such as repetition -1 to the "
    "rewards, or stay nearer to ref_model: a higher beta or kl_coef.",
    "entropy_collapse": "It stops exploring, and groups of equal completions teach nothing. Lower learning_rate, raise "
    "temperature, entropy_coef, beta or kl_coef, or add harder prompts.",
    "kl_runaway": "Raise beta or kl_coef (PPO holds a kl_target by itself), or lower learning_rate. Then read the "
    "samples: this far from ref_model a reward is easily fooled.",
}
ACCURACY = ("rewards/accuracies", "accuracy")


class Watch:
    """Feed it every log line in order; it returns each kind of alarm at most once, with the step it was seen at."""

    def __init__(self, raised: set[str] | None = None):
        self.raised = set(raised or ())
        self.first: dict[str, list[float]] = {}
        self.last: dict[str, deque[float]] = {}
        self.seen: dict[str, int] = {}
        self.lowest_loss: float | None = None
        self.evaluations: deque[Evaluation] = deque(maxlen=MOST_EVALUATIONS)

    def feed(self, step: int, values: dict[str, Any]) -> list[dict]:
        found = [("nan", message)] if (message := broken(values)) else []
        for name, value in values.items():
            if isinstance(value, int | float):
                self.remember(name, float(value))
        checks = {"logps_falling": self.falling, "chance": self.at_chance, "diverging": self.diverging}
        checks |= {"names_no_step": self.blind_to_bad, "entropy_collapse": self.collapsed, "kl_runaway": self.far_off}
        found += self.hacked(step, values)
        found += [(kind, message) for kind, check in checks.items() if (message := check(values))]
        return [self.alarm(kind, step, message) for kind, message in found if kind not in self.raised]

    def alarm(self, kind: str, step: int, message: str) -> dict:
        self.raised.add(kind)
        return {"kind": kind, "step": step, "message": message, "advice": ADVICE[kind]}

    def remember(self, name: str, value: float) -> None:
        first = self.first.setdefault(name, [])
        if len(first) < 2 * WINDOW:
            first.append(value)
        self.last.setdefault(name, deque(maxlen=2 * WINDOW)).append(value)
        self.seen[name] = self.seen.get(name, 0) + 1

    def recent(self, name: str, count: int = WINDOW) -> list[float]:
        return list(self.last.get(name, ()))[-count:]

    def falling(self, values: dict[str, Any]) -> str:
        """Both log-probabilities lie clearly under where they began: beyond the noise, and by more than 2 nats."""
        drops = [self.drop(f"logps/{side}") for side in ("chosen", "rejected")]
        if "logps/chosen" not in values or not all(drops):
            return ""
        return f"The log-probabilities of both sides fell: chosen by {drops[0]:.1f}, rejected by {drops[1]:.1f} nats."

    def drop(self, name: str) -> float:
        if self.seen.get(name, 0) < 4 * WINDOW:
            return 0.0
        first, last = self.first[name], self.recent(name, 2 * WINDOW)
        fell = fmean(first) - fmean(last)
        noise = sqrt((variance(first) + variance(last)) / (2 * WINDOW))
        return fell if fell > max(2.0, NOISE * noise) else 0.0

    def at_chance(self, values: dict[str, Any]) -> str:
        name = next((name for name in ACCURACY if name in values), None)
        if name is None or self.seen[name] < CHANCE_AFTER:
            return ""
        recent = self.recent(name, 2 * WINDOW)
        share, error = fmean(recent), sqrt(variance(recent) / len(recent))
        if share >= STUCK or share + SURE * error >= LEARNING:  # a batch of few pairs says little
            return ""
        return f"After {self.seen[name]} log lines the accuracy is {share:.2f}: chance is 0.50."

    def blind_to_bad(self, values: dict[str, Any]) -> str:
        """Bad steps are there, and after CHANCE_AFTER log lines hardly any is called bad."""
        if "called_bad" not in values or self.seen["called_bad"] < CHANCE_AFTER:
            return ""
        called, bad = (fmean(self.recent(name, 2 * WINDOW)) for name in ("called_bad", "labeled_bad"))
        said = f"After {self.seen['called_bad']} log lines {called:.1%} are called bad, and {bad:.1%} are labeled bad."
        return said if called < 0.1 * bad else ""

    def diverging(self, values: dict[str, Any]) -> str:
        if "loss" not in values or self.seen.get("loss", 0) < WINDOW:
            return ""
        now = fmean(self.recent("loss"))
        self.lowest_loss = min(now, now if self.lowest_loss is None else self.lowest_loss)
        if now <= self.lowest_loss + max(0.5 * abs(self.lowest_loss), 0.3) or not rising(self.recent("loss")):
            return ""
        return f"The loss rose from {self.lowest_loss:.3g} to {now:.3g} (means of {WINDOW} log lines)."

    def hacked(self, step: int, values: dict[str, Any]) -> list[tuple[str, str]]:
        """What this evaluation, with those before it, says of the reward; a resumed run comes to a step again."""
        if (evaluation := Evaluation.of(step, values)) is None:
            return []
        while self.evaluations and self.evaluations[-1].step >= step:
            self.evaluations.pop()
        self.evaluations.append(evaluation)
        checks = {
            "overoptimised": overoptimised,
            "length_explains": length_explains,
            "repetition_explains": repetition_explains,
        }
        seen = list(self.evaluations)
        return [(kind, message) for kind, check in checks.items() if (message := check(seen))]

    def collapsed(self, values: dict[str, Any]) -> str:
        """Of a policy that learns from rewards: one that copies rows ought to become certain."""
        if "entropy" not in values or "reward" not in values or self.seen["entropy"] < 2 * WINDOW:
            return ""
        first, now = fmean(self.first["entropy"][:WINDOW]), fmean(self.recent("entropy"))
        if first < UNDECIDED or now >= COLLAPSED * first:
            return ""
        return f"The entropy fell from {first:.2g} to {now:.2g} nats a token: the policy hardly varies what it says."

    def far_off(self, values: dict[str, Any]) -> str:
        """The KL lies above both bounds of FAR; or above their halves, and doubles and doubles again."""
        name = next((name for name in ("objective/kl", "kl", "eval_kl") if name in values), None)
        count = FEW_EVALUATIONS if name == "eval_kl" else WINDOW
        if name is None or self.seen.get(name, 0) < count:
            return ""
        length = self.length("eval_completions/mean_length" if name == "eval_kl" else "completions/mean_length")
        kls = [value * (length if name == "kl" else 1.0) for value in self.recent(name, 2 * WINDOW)]  # TRL's: a token's
        now = median(kls[-count:])
        said = f"{now:.3g} nats a completion, {now / length:.2g} nats a token"
        share = min(now / FAR[0], now / length / FAR[1])
        if share > 1:
            return f"The KL to the reference has grown to {said}: little of ref_model is left."
        if share > 0.5 and doubles(kls):
            return f"The KL to the reference runs away: it doubled twice, to {said}."
        return ""

    def length(self, name: str) -> float:
        return median(self.recent(name)) if self.seen.get(name) else USUAL_LENGTH


def disproved(alarm: dict[str, Any], values: dict[str, Any]) -> bool:
    """Whether a run that was said to be stuck at chance has learned since, as held-out pairs say.

    >>> disproved({"kind": "chance"}, {"eval_accuracy": 0.7}), disproved({"kind": "chance"}, {"eval_accuracy": 0.52})
    (True, False)
    """
    found = [values.get(f"eval_{name}") for name in ACCURACY]
    return alarm["kind"] == "chance" and any(isinstance(one, int | float) and one >= LEARNING for one in found)


def broken(values: dict[str, Any]) -> str:
    names = [name for name in ("loss", "eval_loss") if values.get(name) in ("NaN", "Infinity", "-Infinity")]
    return f"{names[0]} is {values[names[0]]}, not a number any more." if names else ""


def rising(values: list[float]) -> bool:
    """More steps up than down, so that a spike on its way back is no alarm.

    >>> rising([1, 2, 3]), rising([9, 2, 1])
    (True, False)
    """
    ups = sum(1 if b > a else -1 for a, b in pairwise(values))
    return ups >= 0


def doubles(values: list[float]) -> bool:
    """Whether the median of each third is more than twice that of the third before: one wild value is no trend.

    >>> doubles([1, 1, 1, 3, 3, 3, 7, 7, 7]), doubles([1, 1, 1, 3, 3, 3, 4, 4, 90]), doubles([1, 3, 7])
    (True, False, False)
    """
    if len(values) < 9:
        return False
    size = len(values) // 3
    thirds = [median(values[at : at + size]) for at in range(0, 3 * size, size)]
    return thirds[0] > 0 and all(b > 2 * a for a, b in pairwise(thirds))
