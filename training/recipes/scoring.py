"""Score completions while a policy trains: each distinct one once, every part kept, step rewards on their tokens."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from training.recipes.prompts import columns
from training.recipes.rows import BadData
from training.recipes.run import Stop

PAUSES = (2.0, 20.0)  # seconds before the rewards of a step that failed are asked once more, and then again


@dataclass
class Score:
    """What a completion got: the weighted sum, None where no reward applies; every part; why; rewards inside it."""

    total: float | None
    parts: dict[str, float | None]
    why: dict[str, str] = field(default_factory=dict)
    steps: list[tuple[int, float]] = field(default_factory=list)  # (character after a step's end, its reward)


Mix = Callable[..., list[Any]]
Dense = Callable[[list[Any], list[str]], list[list[tuple[int, float]]]]


@dataclass(frozen=True)
class Answer:
    """A completion of a row's prompt, to be scored."""

    row: dict[str, Any]
    text: str
    tokens: list[int]

    @property
    def key(self) -> tuple[int, str]:
        """Of equal answers to one row the same."""
        return id(self.row), self.text


def scored(mix: Mix, answers: Sequence[Answer], dense: dict[str, Dense]) -> list[Score]:
    """A score for each answer. `dense` holds, by name, rewards of steps, already weighed."""
    distinct = {answer.key: answer for answer in reversed(answers)}
    found = dict(zip(distinct, score_all(mix, list(distinct.values()), dense), strict=True))
    return [found[answer.key] for answer in answers]


def score_all(mix: Mix, answers: list[Answer], dense: dict[str, Dense]) -> list[Score]:
    prompts, texts = [answer.row["prompt"] for answer in answers], [answer.text for answer in answers]
    said = [[{"role": "assistant", "content": text}] for text in texts]
    beside = columns([answer.row for answer in answers]) | {"completion_ids": [answer.tokens for answer in answers]}
    found = [Score(one.total, dict(one.parts), dict(one.why)) for one in asked(mix, prompts, said, beside)]
    for name, reward in dense.items():
        for one, steps in zip(found, reward(prompts, texts), strict=True):
            one.steps += steps
            one.parts[name] = sum(value for _, value in steps) / len(steps) if steps else None
            one.total = 0.0 if one.total is None and steps else one.total
    return found


def asked(mix: Mix, prompts: list[Any], said: list[Any], beside: dict[str, list[Any]]) -> list[Any]:
    """What the rewards say. Where they failed for every completion they are asked again: a service may be restarting.
    The mix itself ends the run when one fails too often in a row."""
    found = mix(prompts, said, **beside)
    for pause in PAUSES:
        if not failed(found):
            break
        why = next(f"{name}: {text}" for name, text in found[0].why.items() if text.startswith("Failed"))
        print(f"{why} It is asked again in {pause:g} s.", flush=True)
        rest(pause)
        found = mix(prompts, said, **beside)
    return found


def failed(found: Sequence[Any]) -> bool:
    """Whether no completion has a total, because a reward failed."""
    broken = (any(why.startswith("Failed") for why in one.why.values()) for one in found if one.total is None)
    return bool(found) and sum(broken) == len(found)


def rest(seconds: float) -> None:
    """Wait, unless the run is asked to stop."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and not Stop.asked:
        time.sleep(min(0.2, seconds))


def check_some(scores: Sequence[Score], step: int) -> None:
    """A step whose completions get no reward at all would teach nothing, and so would all that follow."""
    if all(score.total is None for score in scores):
        why = next((text for score in scores for text in score.why.values()), "no part gave a number")
        raise BadData(f"no reward applies to any of the {len(scores)} completions of step {step}: {why}")


def token_at(pieces: Sequence[str], character: int) -> int:
    """The token in which the character before this place stands.

    >>> [token_at(["ab", "c\\n", "", "d"], at) for at in (1, 2, 4, 5, 9)]
    [0, 0, 1, 3, 3]
    """
    length = 0
    for at, piece in enumerate(pieces):
        length += len(piece)
        if length >= character:
            return at
    return len(pieces) - 1


def pieces_of(tokenizer: Any, tokens: Sequence[int]) -> list[str]:
    """The text that became certain with each token; put together they are the completion."""
    from training.server.sampling import TextStream

    stream = TextStream(tokenizer)
    pieces = [stream.push(token) for token in tokens]
    return pieces[:-1] + [pieces[-1] + stream.finish()] if pieces else []


def self_corrections(texts: Sequence[str], words: str) -> dict[str, float]:
    """How often a completion reflects, by words that say so; nothing where no words are given.

    >>> self_corrections(["2. Wait, is it? Let me check. 3", "I await the waiter."], "wait, let me check")
    {'completions/self_corrections': 1.0}
    """
    known = [re.escape(word.strip()) for word in words.split(",") if word.strip()]
    if not known or not texts:
        return {}
    pattern = re.compile(rf"\b(?:{'|'.join(known)})\b", re.I)
    return {"completions/self_corrections": sum(len(pattern.findall(text)) for text in texts) / len(texts)}


def part_means(scores: Sequence[Score], prefix: str = "") -> dict[str, float]:
    """TRL's curves of rewards: mean and deviation of the sum and of every part, and how many have none."""
    totals = [score.total for score in scores if score.total is not None]
    named = {"": totals} | {
        name: [score.parts[name] for score in scores if score.parts.get(name) is not None]
        for name in dict.fromkeys(name for score in scores for name in score.parts)
    }
    found = {}
    for name, values in named.items():
        if values:
            mean = sum(values) / len(values)
            std = (sum((value - mean) ** 2 for value in values) / max(1, len(values) - 1)) ** 0.5
            key = f"rewards/{name}" if name else "reward"
            found |= {f"{key}/mean" if name else key: mean, f"{key}/std" if name else "reward_std": std}
    return {prefix + name: value for name, value in found.items()}
