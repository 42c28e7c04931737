"""Monte-Carlo labels (Math-Shepherd): how often a model still reaches the answer from after each step.

From the prefix that ends with a step, N completions are sampled and checked against the reference. A sweep asks every
prefix; a binary search finds the first error with about log2(steps) of them (OmegaPRM). The arithmetic is in
training.montecarlo.
"""

import asyncio
from collections import Counter

from annotation.models import Project
from training import answers, montecarlo, serving
from training.labeling.kinds import BadLabeling, Known, Setting
from training.labeling.traces import Said, Trace
from training.models import ModelVersion, StepLabelRun
from training.montecarlo import Count, Counts, Found
from training.verifiers import VERIFIERS

TITLE = "Monte-Carlo"
ABOUT = (
    "A model finishes the solution many times from after each step. If it never reaches the reference answer any more, "
    "the step before is bad; the share that does is the step's score."
)
MAKES = ("policy",)
GROUP = 1
AT_ONCE = 8
ROWS = 32  # completions of one request: an answer comes within minutes even from a slow model
VERIFIER_WORDS = {
    "math": "the same value, however it is written",
    "exact": "the same text",
    "last_number": "the last number is the reference",
}
SETTINGS = {
    "n": Setting("Completions a step", 8, "more: surer scores, more time", 1, 128),
    "search": Setting(
        "Which steps",
        "sweep",
        "A binary search needs far fewer completions, and says nothing of the steps after the first error.",
        choices={"sweep": "every step", "bisect": "only what finds the first error"},
    ),
    "verifier": Setting("Answers are right when", "math", choices=VERIFIER_WORDS),
    "threshold": Setting(
        "A step is good when more than this share is right",
        0.0,
        "0: when any completion is right",
        0,
        0.99,
        folded=True,
    ),
    "temperature": Setting("Temperature", 0.8, "0: all completions are the same", 0, 2, folded=True),
    "top_p": Setting("top_p", 1.0, least=0.01, most=1, folded=True),
    "max_tokens": Setting("Tokens a completion, at most", 256, least=1, most=8192, folded=True),
    "separator": Setting(
        "Between two steps",
        "written",
        "what the model writes there itself, if that differs from the solution",
        choices={"written": "what the solution has there", "blank": "a blank line", "line": "a line break"},
        folded=True,
    ),
    "seed": Setting("Seed", 0, "the same seed gives the same completions", least=0, folded=True),
    "system": Setting("System message", "", "as in the model's training, if it had one", folded=True),
}
SEPARATORS = {"written": "", "blank": "\n\n", "line": "\n"}
UNSOLVED = "the model never reaches the answer, not even from the problem alone"


def name(model: ModelVersion, settings: dict) -> str:
    return model.slug


def needs_reference(settings: dict) -> bool:
    return True


def check(project: Project, model: ModelVersion | None, settings: dict) -> None:
    if model is None:
        raise BadLabeling("Choose the model that finishes the solutions.", "model")
    if settings["verifier"] not in VERIFIERS:
        raise BadLabeling(f"There is no verifier {settings['verifier']!r}.", "verifier")


async def label(run: StepLabelRun, group: list[Trace], known: dict, keep: Known) -> list[Said]:
    return [await label_one(run, trace, known, keep) for trace in group]


async def label_one(run: StepLabelRun, trace: Trace, known: dict, keep: Known) -> Said:
    """Follow the walk over the trace's prefixes; each round's counts are kept, so that none is sampled twice."""
    begun = known.get(str(trace.prompt), {})
    counts = {int(at): Count(*count) for at, count in begun.get("counts", {}).items()}
    verdict = await asyncio.to_thread(VERIFIERS[run.settings["verifier"]], trace.text, trace.reference)
    if verdict is None:
        return Said(unsaid=f"the verifier {run.settings['verifier']} does not apply to the reference")
    if finished(trace):  # the whole solution needs no completions
        counts[len(trace.steps)] = Count(int(verdict), 1)
    cost, walk = Counter(begun.get("cost", {})), walk_of(run, len(trace.steps), counts)
    try:
        wanted = next(walk)
        while True:
            for some in slices(wanted, max(1, ROWS // run.settings["n"])):
                counts |= await counted(run, trace, some, cost)
                tried = {str(at): (count.right, count.tried) for at, count in counts.items()}
                await keep({str(trace.prompt): {"counts": tried, "cost": dict(cost)}})
            wanted = walk.send({at: counts[at] for at in wanted})
    except StopIteration as end:
        return said(run, trace, end.value, cost)


def finished(trace: Trace) -> bool:
    """Whether it comes to an answer: many imported solutions stop at their first error."""
    return answers.final_answer(trace.text) is not None


def good(run: StepLabelRun) -> montecarlo.Good:
    return montecarlo.lasting(run.settings["threshold"])


def walk_of(run: StepLabelRun, steps: int, known: Counts) -> montecarlo.Walk:
    if run.settings["search"] == "bisect":
        return montecarlo.bisect(steps, known, good(run))
    return sweep_or_nothing(steps, known)


def sweep_or_nothing(steps: int, known: Counts) -> montecarlo.Walk:
    """Every prefix; where none is ever completed rightly, the problem alone too: perhaps the model cannot solve it."""
    counts = yield from montecarlo.sweep(steps, known)
    if not any(count.hard for count in counts.values()):
        counts[0] = known[0] if 0 in known else (yield [0])[0]
    return counts


def slices(wanted: list[int], size: int) -> list[list[int]]:
    """
    >>> slices([1, 2, 3], 2)
    [[1, 2], [3]]
    """
    return [wanted[at : at + size] for at in range(0, len(wanted), size)]


async def counted(run: StepLabelRun, trace: Trace, prefixes: list[int], cost: Counter) -> Counts:
    """Sample completions of these prefixes and check them. Raises ServingError."""
    known = run.settings
    system = [{"role": "system", "content": known["system"]}] if known["system"] else []
    texts = {at: trace.prefix(at, SEPARATORS[known["separator"]]) for at in prefixes}
    item = {"messages": [*system, *trace.messages], "prefixes": list(texts.values())}
    sampling = {name: known[name] for name in ("n", "temperature", "top_p", "max_tokens")}
    seed = (known["seed"] * 1_000_003 + trace.prompt * 1_009 + prefixes[0]) % 2**31
    reply = await serving.rollouts(run.model, [item], seed=seed, **sampling)
    made, reasons = reply["texts"][0], reply["finish_reasons"][0]
    cost["completions"] += sum(map(len, made))
    cost["tokens"] += (reply.get("usage") or {}).get("completion_tokens") or 0
    cost["cut"] += sum(reason == "length" for row in reasons for reason in row)
    cost["blank"] += sum(not text.strip() for row in made for text in row)
    return await asyncio.to_thread(verified, run, trace, dict(zip(texts.items(), made, strict=True)))


def verified(run: StepLabelRun, trace: Trace, made: dict[tuple[int, str], list[str]]) -> Counts:
    verify = VERIFIERS[run.settings["verifier"]]
    return {
        at: Count(sum(bool(verify(prefix + text, trace.reference)) for text in texts), len(texts))
        for (at, prefix), texts in made.items()
    }


def said(run: StepLabelRun, trace: Trace, found: Found | Counts, cost: Counter) -> Said:
    steps = len(trace.steps)
    if isinstance(found, Found):
        counts, ratings, decided = found.counts, found.ratings, found.decided
    else:
        counts, decided = found, any(count.hard for count in found.values())
        ratings = montecarlo.along_steps(counts, steps, lambda count: 1 if good(run)(count) else -1)
    if not decided and not (0 in counts and counts[0].hard):
        return Said(unsaid=UNSOLVED, cost=cost)
    errors = montecarlo.along_steps(counts, steps, lambda count: round(count.error, 4))
    if finished(trace):
        errors[-1] = 0.0  # its verdict is no estimate
    scores = montecarlo.along_steps(counts, steps, lambda count: round(count.soft, 4))
    return Said(ratings, scores, errors, notes_of(counts, steps, finished(trace)), cost=cost)


def notes_of(counts: Counts, steps: int, whole: bool) -> dict[str, str]:
    """Step → how many of its completions were right."""
    sampled = {at: count for at, count in counts.items() if 0 < at <= steps and not (whole and at == steps)}
    return {str(at - 1): f"{count.right} of {count.tried} completions are right" for at, count in sampled.items()}
