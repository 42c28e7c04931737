"""Labels by a model: the scores of a reward model, or what a chat model answers when asked of each step."""

import asyncio
import re
from collections import Counter

from annotation.models import Project
from training import serving
from training.labeling.kinds import BadLabeling, Known, Setting
from training.labeling.traces import Said, Trace
from training.models import ModelVersion, StepLabelRun

TITLE = "Model"
ABOUT = (
    "A process reward model scores every step; one below the threshold is bad. A chat model is asked of each step in "
    "turn whether it is correct; what it answers otherwise counts as no label."
)
MAKES = ("process_reward_model", "outcome_reward_model", "policy")
GROUP = 16
AT_ONCE = 2
ASKED_AT_ONCE = 16
SETTINGS = {
    "threshold": Setting("Bad below this score", 0.5, "for a reward model", 0.01, 0.99),
    "max_tokens": Setting("Tokens an answer, at most", 16, "for a chat model that is asked", 1, 8192),
}
QUESTION = """Here are a problem and the first steps of a solution to it.

Problem:
{problem}

Steps:
{steps}

Is step {number} correct, given the problem and the steps before it? Answer with one word: correct, neutral or \
incorrect. Neutral means that it is neither wrong nor of use."""
VERDICT = re.compile(r"\b(?P<no>not\s+|in)?(?P<word>correct|neutral|wrong|right|good|bad)\b", re.I)
GOOD = ("correct", "right", "good")
LONGEST = 60_000  # characters of one question


def name(model: ModelVersion, settings: dict) -> str:
    return model.slug


def needs_reference(settings: dict) -> bool:
    return False


def check(project: Project, model: ModelVersion | None, settings: dict) -> None:
    if model is None:
        raise BadLabeling("Choose the model that judges the steps.", "model")


async def label(run: StepLabelRun, group: list[Trace], known: dict, keep: Known) -> list[Said]:
    if run.model.makes == "policy":
        room = asyncio.Semaphore(ASKED_AT_ONCE // AT_ONCE)
        return await asyncio.gather(*(asked(run, trace, room) for trace in group))
    items = [{"messages": trace.messages, "steps": trace.steps} for trace in group]
    found = await serving.score_steps(run.model, items)
    return [scored(scores, run.settings["threshold"]) for scores in found]


def scored(scores: list[float | None], threshold: float) -> Said:
    """
    >>> scored([0.9, None, 0.25], 0.5).ratings
    [1, None, -1]
    """
    ratings = [None if score is None else 1 if score >= threshold else -1 for score in scores]
    return Said(ratings, [score if score is None else round(score, 4) for score in scores])


async def asked(run: StepLabelRun, trace: Trace, room: asyncio.Semaphore) -> Said:
    """A question a step; what cannot be read as a verdict stays null, and is counted."""
    cost = Counter()

    async def one(step: int) -> int | None:
        async with room:
            limit = {"max_tokens": run.settings["max_tokens"], "temperature": 0}
            choices = await serving.chat(run.model, question(trace, step), n=1, **limit)
        verdict = read_verdict(choices[0]["text"])
        cost["asked"] += 1
        cost["unread"] += verdict is None
        return verdict

    ratings = await asyncio.gather(*(one(step) for step in range(len(trace.steps))))
    made = Said(list(ratings), cost=cost)
    return Said(unsaid="no answer of the model could be read", cost=cost) if made.empty else made


def question(trace: Trace, step: int) -> list[dict]:
    problem = "\n\n".join(message["content"] for message in trace.messages)
    steps = "\n".join(f"{number}. {text}" for number, text in enumerate(trace.steps[: step + 1], 1))
    text = QUESTION.format(problem=problem, steps=steps[-LONGEST:], number=step + 1)
    return [{"role": "user", "content": text}]


def read_verdict(answer: str) -> int | None:
    """The last verdict an answer names; None when it names none.

    >>> read_verdict("Correct."), read_verdict("It is not correct"), read_verdict("incorrect"), read_verdict("Hm?")
    (1, -1, -1, None)
    """
    found = list(VERDICT.finditer(answer))
    if not found:
        return None
    word, no = found[-1]["word"].lower(), bool(found[-1]["no"])
    if word == "neutral":
        return 0
    return 1 if (word in GOOD) != no else -1
