"""What a label is in each kind of project, and what a prompt needs before it can get one."""

from collections.abc import Sequence
from typing import NamedTuple

from annotation.models import Completion, Project, Ranking, StepLabels


class Kind(NamedTuple):
    """`labels` is the model of what people say; `completions` the fewest a prompt is handed out with."""

    labels: type[Ranking] | type[StepLabels]
    completions: int


KINDS = {"ranking": Kind(Ranking, 2), "steps": Kind(StepLabels, 1)}


def kind_of(project: Project) -> Kind:
    return KINDS[project.kind]


def ready(project: Project, completions: Sequence[Completion]) -> bool:
    """Whether there is something to label: two completions to rank, or one that has steps."""
    if project.kind == "steps":
        return any(completion.steps for completion in completions)
    return len(completions) >= kind_of(project).completions
