"""What everybody says of a project's traces, people and machines alike, read for comparing: a bounded sample."""

from collections import defaultdict
from dataclasses import dataclass, field

from django.core.cache import cache
from django.db.models import Count, Max

from annotation.models import Completion, Project, StepLabels
from annotation.steps.agreement import Marked, Measure, between_people, with_people

SAMPLE = 1000  # traces looked at: those with most opinions, newest first among equals
KEPT = 600  # seconds


@dataclass
class Opinions:
    """Prompt → name → what was said; `people` are the names that are persons."""

    steps: dict[int, int] = field(default_factory=dict)  # prompt → how many steps
    ratings: dict[int, dict[str, list]] = field(default_factory=dict)
    scores: dict[int, dict[str, list]] = field(default_factory=dict)
    people: set[str] = field(default_factory=set)
    traces_by: dict[str, int] = field(default_factory=dict)  # name → traces it labeled, among those looked at

    @property
    def machines(self) -> list[str]:
        return sorted(set(self.traces_by) - self.people)

    @property
    def marked(self) -> list[Marked]:
        return [Marked(self.steps[prompt], said) for prompt, said in self.ratings.items()]


def opinions(project: Project, limit: int = SAMPLE) -> Opinions:
    """Two queries over the traces with the most labels; a trace its labeler gave up or called bad has none of hers."""
    rows = StepLabels.objects.filter(prompt__project=project, gave_up="", bad_problem="")
    several = rows.values("prompt").annotate(sources=Count("pk")).order_by("-sources", "-prompt")
    prompts = [row["prompt"] for row in several[:limit]]
    found = Opinions()
    for prompt, steps in Completion.objects.filter(prompt__in=prompts, steps__isnull=False).values_list(
        "prompt", "steps"
    ):
        found.steps[prompt] = len(steps)
    ratings, scores = defaultdict(dict), defaultdict(dict)
    said = rows.filter(prompt__in=prompts).select_related("labeler")
    for row in said.only("prompt", "kind", "source", "ratings", "scores", "labeler__username"):
        if row.prompt_id in found.steps:
            ratings[row.prompt_id][row.name] = row.ratings
            scores[row.prompt_id][row.name] = row.scores or []
            found.people |= {row.name} if row.labeler_id else set()
            found.traces_by[row.name] = found.traces_by.get(row.name, 0) + 1
    found.ratings, found.scores = dict(ratings), dict(scores)
    return found


@dataclass(frozen=True)
class StepAgreement:
    """What the page of a project shows: people with each other, then each machine with people.

    `apart` names the machines that labeled nothing a person marked.
    """

    people: Measure
    machines: list[tuple[str, Measure]]
    apart: list[str]
    persons: int


def state(project: Project) -> str:
    """Changes whenever a label is added, replaced or deleted."""
    rows = StepLabels.objects.filter(prompt__project=project).aggregate(last=Max("pk"), count=Count("pk"))
    return f"{project.pk}:{rows['last']}:{rows['count']}"


def step_agreement(project: Project) -> StepAgreement:
    """Kept as long as no label changes."""
    key = f"step-agreement:{state(project)}"
    found = cache.get(key)
    if found is None:
        said = opinions(project)
        marked = said.marked
        machines = [(name, with_people(marked, said.people, name)) for name in said.machines]
        shared = [(name, measure) for name, measure in machines if measure.traces]
        apart = [name for name, measure in machines if not measure.traces]
        found = StepAgreement(between_people(marked, said.people), shared, apart, len(said.people))
        cache.set(key, found, KEPT)
    return found
