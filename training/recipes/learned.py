"""Rewards of a run: a weighted list, with the learned ones loaded from the folders that config.json names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from training.recipes.config import BadConfig
from training.recipes.scoring import Answer, Score, scored
from training.recipes.steps import TooLong, trace_windows

LEARNED = {"reward_model": ("score",), "orm": ("outcome",), "prm": ("steps",)}
BATCH_TOKENS = 8192  # padded tokens that pass through a reward model at once


class Rewards:
    """Called with answers: their scores."""

    def __init__(self, session: Any, text: str) -> None:
        from training import rewards

        self.models, self.device, self.clock = session.run.models, session.machine.device, session.clock
        self.loaded: dict[str, Any] = {}
        parts = rewards.parse(text)
        whole = [part for part in parts if not is_dense(part)]
        self.mix = rewards.Mix(whole, self.resolve) if whole else nothing
        self.dense = {f"{part.label} by step": self.dense_reward(part) for part in parts if is_dense(part)}

    def __call__(self, answers: Sequence[Answer]) -> list[Score]:
        with self.clock("rewards"):
            return scored(self.mix, answers, self.dense)

    def resolve(self, name: str, argument: str) -> Callable[..., list[float | None]]:
        """A learned reward as a reward function. Raises BadConfig where the run has no such model."""
        model = self.model(name, argument)
        if name == "prm":
            return lambda prompts, completions, aggregate="min", **_: [
                aggregated(steps, aggregate) for steps in step_scores(model, prompts, list(map(text_of, completions)))
            ]
        return lambda prompts, completions, **_: whole_scores(model, prompts, completions)

    def model(self, name: str, argument: str) -> Any:
        if argument not in self.loaded:
            self.loaded[argument] = load(argument, self.models.get(argument), LEARNED[name], self.device)
        return self.loaded[argument]

    def dense_reward(self, part: Any) -> Callable[[list[Any], list[str]], list[list[tuple[int, float]]]]:
        """Every step's score, weighed, at the step's end; with `gain`, by how much it differs from the one before.

        Scores as they are pay for more steps, which a policy finds out; gains sum to the last, however many there are.
        """
        model, gain = self.model(part.name, part.argument), part.options.get("aggregate") == "gain"

        def reward(prompts: list[Any], texts: list[str]) -> list[list[tuple[int, float]]]:
            found = []
            for text, values in zip(texts, step_scores(model, prompts, texts), strict=True):
                before = [0.5, *values] if gain else [0.0] * (len(values) + 1)
                steps = zip(step_ends(text, model.separator), values, before, strict=False)
                found.append([(end, part.weight * (value - was)) for end, value, was in steps])
            return found

        return reward


def unmet(text: str, models: dict[str, str], rows: Sequence[dict[str, Any]], file: str = "train.jsonl") -> list[str]:
    """What rewards ask for and the run does not hold, one sentence each: a model, a column of the rows."""
    from training import rewards
    from training.sandbox import why_not

    parts, found = rewards.parse(text), []
    for part in parts:
        if part.name in LEARNED and part.argument not in models:
            found.append(f"{part.label}: the run holds no model {part.argument}")
        if part.name == "code" and (reason := why_not()):
            found.append(f"code: {reason}")
        wanted = [name for name in part.kind.columns if rows and all(row.get(name) in (None, "") for row in rows)]
        if wanted:
            found.append(f"{part.label} reads {' and '.join(wanted)}, which no row of {file} has")
    return found


def is_dense(part: Any) -> bool:
    return part.name == "prm" and part.options.get("aggregate") in ("dense", "gain")


def nothing(prompts: list[Any], completions: list[Any], **columns: Any) -> list[Score]:
    """Where every reward is a reward of steps."""
    return [Score(None, {}) for _ in prompts]


def load(name: str, folder: str | None, tasks: Sequence[str], device: str) -> Any:
    from training.server.folders import Options, task_of
    from training.server.loading import load as load_model

    if folder is None or not Path(folder).is_dir():
        raise BadConfig(f"the run holds no model {name!r} to reward with; config.json names its folder under models")
    if task_of(Path(folder)) not in tasks:
        raise BadConfig(f"{name} is not a model of the kind this reward asks for")
    model = load_model(name, Path(folder), Options(models=Path(folder).parent, device=device))
    model.network.requires_grad_(False)
    return model


def whole_scores(model: Any, prompts: Sequence[Any], completions: Sequence[Any]) -> list[float | None]:
    """A reward model's score, or an outcome reward model's probability, of each chat; None where it is too long."""
    from training.server.engine import forward_scores

    if model.task == "outcome":
        steps = [split(text_of(one), model.separator) for one in completions]
        found = windows_scored(model, prompts, steps, last_only=True)
        return [values[-1] if values else None for values in found]
    tokens = [model.encode(prompt + as_turn(one)) for prompt, one in zip(prompts, completions, strict=True)]
    short = [at for at, ids in enumerate(tokens) if len(ids) <= (model.context or 10**9)]
    values = in_batches(model, [tokens[at] for at in short], forward_scores)
    known = dict(zip(short, values, strict=True))
    return [known.get(at) for at in range(len(tokens))]


def step_scores(model: Any, prompts: Sequence[Any], texts: Sequence[str]) -> list[list[float]]:
    """P(good) of every step of each completion; none where the prompt alone fills what the model reads."""
    return windows_scored(model, prompts, [split(text, model.separator) for text in texts], last_only=False)


def windows_scored(
    model: Any, prompts: Sequence[Any], traces: Sequence[list[str]], last_only: bool
) -> list[list[float]]:
    from training.server.engine import forward_steps

    parts, owners = [], []
    for at, (prompt, steps) in enumerate(zip(prompts, traces, strict=True)):
        try:
            found = trace_windows(model.chat, prompt, steps, model.separator, model.window, last_only)
        except TooLong:
            continue
        parts += found
        owners += [at] * len(found)
    scores: list[list[float]] = [[] for _ in prompts]
    for owner, values in zip(owners, in_batches(model, parts, forward_steps), strict=True):
        scores[owner] += values
    return scores


def in_batches(model: Any, items: Sequence[Any], forward: Callable[[Any, Any], list[Any]]) -> list[Any]:
    import torch

    from training.recipes.steps import length_batches

    found: dict[int, Any] = {}
    with torch.no_grad():
        for batch in length_batches([len(item) for item in items], BATCH_TOKENS):
            found |= zip(batch, forward(model, [items[at] for at in batch]), strict=True)
    return [found[at] for at in range(len(items))]


def split(text: str, separator: str) -> list[str]:
    """Steps as a process reward model was shown them; a text without a separator is one step."""
    return text.removesuffix(separator).split(separator)


def step_ends(text: str, separator: str) -> list[int]:
    """For each step, the place just after its separator, or after the text's end.

    >>> step_ends("ab;c;d", ";"), step_ends("ab;", ";")
    ([3, 5, 6], [3])
    """
    ends, at = [], 0
    for step in split(text, separator):
        at = min(len(text), at + len(step) + len(separator))
        ends.append(at)
    return ends


def aggregated(steps: Sequence[float], how: str) -> float | None:
    """One number for a trace: its worst step, all of them multiplied, their mean, or its last.

    >>> [aggregated([0.5, 0.2, 0.4], how) for how in ("min", "prod", "last")], aggregated([], "min")
    ([0.2, 0.04000000000000001, 0.4], None)
    """
    import math

    ways = {"min": min, "prod": math.prod, "mean": lambda all: sum(all) / len(all), "last": lambda all: all[-1]}
    return ways[how](steps) if steps else None


def text_of(completion: Any) -> str:
    return completion if isinstance(completion, str) else completion[-1]["content"]


def as_turn(completion: Any) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": completion}] if isinstance(completion, str) else completion
