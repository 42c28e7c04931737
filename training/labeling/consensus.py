"""Labels that several sources agree on; where they do not, there is none. What is lost is counted."""

import asyncio
from collections import Counter
from collections.abc import Sequence

from asgiref.sync import sync_to_async

from annotation.models import Project, StepLabels
from training.labeling.kinds import BadLabeling, Known, Setting
from training.labeling.traces import Said, Trace
from training.models import ModelVersion, StepLabelRun

TITLE = "Consensus"
ABOUT = "A step gets a label only where the sources you choose say the same of it. People's labels are no source here."
MAKES = ()
GROUP = 200
AT_ONCE = 1
SETTINGS = {
    "sources": Setting("Sources", [], "at least two", many=True),
    "least": Setting("Sources that must say something of a step", 2, "those that do must all agree", 2, 20),
}
LOST = "the sources never agree, or too few say something"


def name(model: ModelVersion | None, settings: dict) -> str:
    return "+".join(source.partition(":")[2] for source in settings["sources"])[:120]


def needs_reference(settings: dict) -> bool:
    return False


def check(project: Project, model: ModelVersion | None, settings: dict) -> None:
    chosen = settings["sources"]
    if len(chosen) < 2:
        raise BadLabeling("Choose at least two sources; a single one always agrees with itself.", "sources")
    if settings["least"] > len(chosen):
        raise BadLabeling(f"{settings['least']} sources must say something, and {len(chosen)} are chosen.", "least")
    there = {name for name in chosen if labels_of(name).filter(prompt__project=project).exists()}
    if missing := [name for name in chosen if name not in there]:
        raise BadLabeling(f"{', '.join(missing)}: no labels by this name in the project.", "sources")


def labels_of(name: str):
    kind, _, source = name.partition(":")
    return StepLabels.objects.filter(labeler=None, kind=kind, source=source)


async def label(run: StepLabelRun, group: list[Trace], known: dict, keep: Known) -> list[Said]:
    found = await sync_to_async(read)(run.settings["sources"], [trace.prompt for trace in group])
    await asyncio.sleep(0)
    return [agreed(found.get(trace.prompt, []), len(trace.steps), run.settings["least"]) for trace in group]


def read(names: Sequence[str], prompts: Sequence[int]) -> dict[int, list[list[int | None]]]:
    """Prompt → the ratings of each of the sources that labeled it."""
    found: dict[int, list[list[int | None]]] = {}
    for name in names:
        for prompt, ratings in labels_of(name).filter(prompt__in=prompts).values_list("prompt", "ratings"):
            found.setdefault(prompt, []).append(ratings)
    return found


def agreed(said: Sequence[Sequence[int | None]], steps: int, least: int = 2) -> Said:
    """Bad or not bad where all who say something agree, and at least `least` do; a neutral step is not bad.

    >>> agreed([[1, -1, 1], [0, 1, None], [1, -1, None]], 3).ratings
    [1, None, None]
    """
    ratings, cost = [], Counter()
    for step in range(steps):
        votes = [1 if each[step] >= 0 else -1 for each in said if step < len(each) and each[step] is not None]
        same = len(votes) >= least and len(set(votes)) == 1
        ratings.append(votes[0] if same else None)
        cost["agreed"] += same
        cost["disagreed"] += len(set(votes)) > 1
        cost["too_few"] += len(votes) < least
    made = Said(ratings, cost=cost)
    return Said(unsaid=LOST, cost=cost) if made.empty else made
