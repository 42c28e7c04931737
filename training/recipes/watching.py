"""Watch for reward hacking: what an evaluation says beside the reward, and a gold reward that is never trained on.

A policy that learns to please a reward finds what the reward overlooks: it writes longer, repeats itself, leaves the
reference far behind. The gold reward (a verifier, a larger model) is asked about the same held-out completions, and
shows when the one goes on rising while the other falls. Paper: Gao et al. 2022, https://arxiv.org/abs/2210.10760
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from training.recipes.config import Common
from training.recipes.learned import Rewards, is_dense, unmet
from training.recipes.rows import BadData
from training.recipes.run import Stop
from training.recipes.scoring import Answer, Score
from training.rewards.shaping import repetition_of

NOBODY = "gold is asked about answers to held-out prompts, and there are none: hold some out, or leave gold empty"


@dataclass
class Watched(Common):
    """What recipes know that draw their completions while they train."""

    gold: Annotated[
        str, "what should rise too, asked at evaluations and never trained on: a list like rewards; empty: none"
    ] = ""
    gold_patience: Annotated[int, "evaluations in a row without a better gold that end the run; 0: it goes on"] = 0
    keep_best_gold: Annotated[bool, "with gold: the model that is kept is that of the evaluation with the best"] = True


def gold_problems(config: Watched) -> list[str]:
    """What is wrong with these three settings, one sentence each."""
    from training import rewards

    found = []
    if config.gold_patience < 0:
        found.append(f"gold_patience must not be negative, not {config.gold_patience}; 0 never ends a run")
    if config.gold_patience > 0 and not config.gold.strip():
        found.append(f"gold_patience {config.gold_patience} waits for a better gold: name a reward in gold")
    if config.gold_patience > 0 and not config.eval_steps:
        found.append(f"gold_patience {config.gold_patience} counts evaluations on the way: set eval_steps above 0")
    try:
        parts = rewards.parse(config.gold) if config.gold.strip() else []
    except ValueError as error:
        return [*found, f"gold: {error}"]
    dense = (part.label for part in parts if is_dense(part))
    return found + [f"gold: {label} has no one number for a completion; set its aggregate to min" for label in dense]


def unmet_gold(config: Any, models: dict[str, str], held_out: Sequence[dict[str, Any]]) -> list[str]:
    """What gold asks for and the run does not hold, one sentence each: held-out prompts, a model, a column of rows."""
    if not (text := getattr(config, "gold", "").strip()):
        return []
    if not held_out:
        return [NOBODY]
    return [f"gold: {problem}" for problem in unmet(text, models, held_out, "eval.jsonl")]


@dataclass(frozen=True)
class Seen:
    """A held-out completion at an evaluation."""

    reward: float | None
    gold: float | None
    kl: float  # its log π − log π_ref, nats
    tokens: int
    repetition: float  # share of its 4-word sequences that stood there before


class Watcher:
    """Called with the completions of an evaluation, their scores and their KL; asks gold about them."""

    def __init__(self, session: Any) -> None:
        text = getattr(session.config, "gold", "")
        if text.strip() and not session.eval_rows.rows:
            raise BadData(NOBODY)
        self.gold = Rewards(session, text) if text.strip() else None

    def __call__(self, answers: Sequence[Answer], scores: Sequence[Score], kl: Sequence[float]) -> list[Seen]:
        said = zip(answers, scores, self.golds(answers), kl, strict=True)
        return [
            Seen(score.total, gold, nats, len(answer.tokens), repetition_of(answer.text))
            for answer, score, gold, nats in said
        ]

    def golds(self, answers: Sequence[Answer]) -> list[float | None]:
        if self.gold is None:
            return [None] * len(answers)
        found = self.gold(answers)
        if found and all(one.total is None for one in found) and not Stop.asked:
            why = next((text for one in found for text in one.why.values()), "no part gave a number")
            raise BadData(f"gold applies to none of the {len(found)} held-out completions: {why}")
        return [one.total for one in found]


def told(seen: Sequence[Seen]) -> dict[str, float]:
    """The curves of an evaluation; what cannot be said of these completions is left out.

    >>> said = told([Seen(0.1, 1.0, 2.0, 10, 0.0), Seen(0.2, 0.0, 4.0, 20, 0.0), Seen(0.3, 0.5, 6.0, 30, 0.0)])
    >>> {name: round(value, 3) for name, value in said.items()}
    {'kl': 4.0, 'repetition': 0.0, 'length_correlation': 1.0, 'gold': 0.5, 'gold_stderr': 0.289}
    """
    found = {"kl": mean([one.kl for one in seen]), "repetition": mean([one.repetition for one in seen])}
    scored = [one for one in seen if one.reward is not None]
    rewards = [one.reward for one in scored]
    found["length_correlation"] = correlation(rewards, [one.tokens for one in scored])
    found["repetition_correlation"] = correlation(rewards, [one.repetition for one in scored])
    gold = [one.gold for one in seen if one.gold is not None]
    found |= {"gold": mean(gold), "gold_stderr": standard_error(gold)}
    return {name: value for name, value in found.items() if value is not None}


def mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


def standard_error(values: Sequence[float]) -> float | None:
    """Of their mean; of fewer than two nothing is known."""
    return statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else None


def correlation(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Pearson's, −1 to 1; None where either has no spread.

    >>> correlation([1, 2, 3], [4, 6, 8]), correlation([1, 2, 3], [5, 5, 5]), correlation([1], [1])
    (1.0, None, None)
    """
    if len(one) < 2 or min(one) == max(one) or min(other) == max(other):
        return None
    return statistics.correlation(one, other)
