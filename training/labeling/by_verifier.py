"""Labels by a verifier of steps: what a step computes is computed again. Costs no model and no reference."""

import asyncio

from annotation.models import Project
from training.labeling.kinds import BadLabeling, Known, Setting
from training.labeling.traces import Said, Trace
from training.models import ModelVersion, StepLabelRun
from training.step_verifiers import STEP_VERIFIERS

TITLE = "Verifier"
ABOUT = (
    "The arithmetic in a step is computed again. A step is bad when an equation in it does not hold, good when all "
    "that can be checked hold; steps without arithmetic get no label."
)
MAKES = ()
GROUP = 200
AT_ONCE = 1
SETTINGS = {"verifier": Setting("Verifier", "arithmetic", choices={"arithmetic": "arithmetic, written or in LaTeX"})}
SILENT = "no step holds arithmetic that can be checked"


def name(model: ModelVersion | None, settings: dict) -> str:
    return settings["verifier"]


def needs_reference(settings: dict) -> bool:
    return False


def check(project: Project, model: ModelVersion | None, settings: dict) -> None:
    if settings["verifier"] not in STEP_VERIFIERS:
        raise BadLabeling(f"There is no verifier {settings['verifier']!r}.", "verifier")


async def label(run: StepLabelRun, group: list[Trace], known: dict, keep: Known) -> list[Said]:
    return await asyncio.to_thread(lambda: [judged(run.settings["verifier"], trace) for trace in group])


def judged(verifier: str, trace: Trace) -> Said:
    found = STEP_VERIFIERS[verifier](trace.steps)
    notes = {str(at): judged.note for at, judged in enumerate(found) if judged.note}
    made = Said([judged.rating for judged in found], notes=notes)
    return Said(unsaid=SILENT) if made.empty else made
