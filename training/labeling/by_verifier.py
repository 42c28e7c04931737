"""Labels by a verifier of steps: what a step computes is computed again, its code is tested. Costs no model."""

import asyncio
from collections import Counter
from collections.abc import Callable

from annotation.models import Project
from training import step_tests, step_verifiers
from training.labeling.kinds import BadLabeling, Known, Setting
from training.labeling.traces import Said, Trace
from training.models import ModelVersion, StepLabelRun
from training.recipes.machine import cores

TITLE = "Verifier"
ABOUT = (
    "Arithmetic: what a step computes is computed again. A step is bad when an equation in it does not hold, good when "
    "all that can be checked hold. Tests: the code of a step, after that of the steps before, is run in a sandbox "
    "against the tests given for it. Steps with nothing to check get no label."
)
MAKES = ()
GROUP = 50
AT_ONCE = 1
CHOICES = {"arithmetic": "arithmetic, written or in LaTeX", "tests": "tests, of steps with code in Python"}
TESTS = (
    'for tests, the metadata of a solution or its problem holds step_tests, as {"2": tests} or a list with an entry a '
    "step, or tests of the whole solution, which judge its last step with code; each in a form the reward code reads"
)
SETTINGS = {"verifier": Setting("Verifier", "arithmetic", TESTS, choices=CHOICES)}
VERIFIERS: dict[str, Callable[[Trace], list[step_verifiers.Judged]]] = {
    "arithmetic": lambda trace: step_verifiers.arithmetic(trace.steps),
    "tests": step_tests.tested,
}
SILENT = {
    "arithmetic": "no step holds arithmetic that can be checked",
    "tests": "no step holds code that tests are given for",
}


def name(model: ModelVersion | None, settings: dict) -> str:
    return settings["verifier"]


def needs_reference(settings: dict) -> bool:
    return False


def check(project: Project, model: ModelVersion | None, settings: dict) -> None:
    if settings["verifier"] not in VERIFIERS:
        raise BadLabeling(f"There is no verifier {settings['verifier']!r}.", "verifier")


async def label(run: StepLabelRun, group: list[Trace], known: dict, keep: Known) -> list[Said]:
    room = asyncio.Semaphore(cores())

    async def one(trace: Trace) -> Said:
        async with room:
            return await asyncio.to_thread(judged, run.settings["verifier"], trace)

    return await asyncio.gather(*(one(trace) for trace in group))


def judged(verifier: str, trace: Trace) -> Said:
    found = VERIFIERS[verifier](trace)
    notes = {str(at): judged.note for at, judged in enumerate(found) if judged.note}
    made = Said([judged.rating for judged in found], notes=notes)
    if made.empty:
        return Said(unsaid=next(iter(notes.values()), SILENT[verifier]).rstrip("."))
    made.cost = Counter(unfit=sum(judged.rating is None and bool(judged.note) for judged in found))
    return made
