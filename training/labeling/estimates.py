"""What a run of labeling will ask for, before it is launched: completions, tokens, questions. From a bounded sample."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log2

from training.labeling.runs import labelable
from training.models import StepLabelRun

SAMPLE = 300  # traces looked at
CHARACTERS_A_TOKEN = 4


@dataclass(frozen=True)
class Estimate:
    """Of all traces of a run; `likely` supposes that a completion is as long as what it stands for."""

    traces: int
    steps: int
    completions: int = 0
    tokens_likely: int = 0
    tokens_most: int = 0
    questions: int = 0


def estimated(run: StepLabelRun) -> Estimate:
    """Read a sample of the traces and scale it up."""
    rows = list(labelable(run).values_list("steps", "text")[: min(SAMPLE, run.total)])
    shapes = [(len(steps), len(text)) for steps, text in rows]
    scale = run.total / max(1, len(shapes))
    steps = round(scale * sum(count for count, _ in shapes))
    if run.kind == "monte-carlo":
        made, likely = completions_of(shapes, run.settings)
        likely, made = round(scale * likely), round(scale * made)
        return Estimate(run.total, steps, made, likely, made * run.settings["max_tokens"])
    if run.model and run.model.makes == "policy":
        return Estimate(run.total, steps, questions=steps, tokens_most=steps * run.settings["max_tokens"])
    return Estimate(run.total, steps)


def completions_of(shapes: Sequence[tuple[int, int]], settings: dict) -> tuple[int, float]:
    """Completions and their likely tokens for traces of (steps, characters); finished ones need none at their end.

    >>> completions_of([(8, 800)], {"n": 4, "search": "sweep", "max_tokens": 256})
    (28, 2800.0)
    >>> completions_of([(8, 800)], {"n": 4, "search": "bisect", "max_tokens": 256})
    (12, 1200.0)
    """
    completions, tokens = 0, 0.0
    for steps, characters in shapes:
        prefixes = max(1, steps - 1) if settings["search"] == "sweep" else max(1, ceil(log2(max(2, steps))))
        made = prefixes * settings["n"]
        completions += made
        tokens += made * min(settings["max_tokens"], max(1, characters / CHARACTERS_A_TOKEN / 2))
    return completions, tokens
