"""A project of steps in numbers for its page: who reads how fast, whether proposals are looked at. Bounded samples."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from django.db.models import F, Q, QuerySet, TextField
from django.db.models.functions import Cast
from django.db.models.lookups import Contains

from annotation.models import Project, StepLabels
from annotation.steps.reading import LONG, WORDS_A_MINUTE, too_fast

RECENT = 200  # newest labels looked at, of each labeler
LABELERS = 50
HASTY = Q(words__gte=LONG, seconds__gt=0, words__gt=F("seconds") * (WORDS_A_MINUTE / 60.0))  # reading.too_fast


@dataclass
class Pace:
    """How one labeler marked her newest traces."""

    labels: int = 0
    step_seconds: list[float] = field(default_factory=list)  # a trace's active time over the steps marked
    long: int = 0  # traces long enough to tell
    hasty: int = 0  # of those, marked faster than they can be read
    proposed: int = 0
    accepted: int = 0

    @property
    def seconds(self) -> float | None:
        return median(self.step_seconds) if self.step_seconds else None

    @property
    def hasty_share(self) -> float | None:
        return self.hasty / self.long if self.long else None

    @property
    def accepted_share(self) -> float | None:
        return self.accepted / self.proposed if self.proposed else None

    def add(self, ratings: Sequence, seconds: float, words: int, proposed: dict) -> None:
        self.labels += 1
        marked = sum(rating is not None for rating in ratings)
        self.step_seconds += [seconds / marked] if marked and seconds else []
        self.long += words >= LONG and seconds > 0
        self.hasty += too_fast(words, seconds)
        outcomes = [outcome for steps in proposed.values() for outcome in steps.values()]
        self.proposed += len(outcomes)
        self.accepted += outcomes.count("accepted")


def paces(project: Project, labelers: Sequence[int]) -> dict[int, Pace]:
    """Labeler → pace over her newest labels: a short look into an index for each."""
    found = {}
    for labeler in labelers[:LABELERS]:
        hers = StepLabels.objects.by_people().filter(labeler=labeler, prompt__project=project).order_by("-created")
        pace = found.setdefault(labeler, Pace())
        for row in hers.values_list("ratings", "seconds", "words", "proposed")[:RECENT]:
            pace.add(*row)
    return found


def machine_sources(project: Project) -> list[str]:
    """Names of the machines and files that labeled steps of the project."""
    rows = StepLabels.objects.filter(prompt__project=project, labeler=None).order_by()
    return sorted(f"{kind}:{source}" for kind, source in rows.values_list("kind", "source").distinct())


def hasty(labels: QuerySet) -> QuerySet:
    """Labels of people that came faster than the trace can be read."""
    return labels.filter(HASTY, kind__in=StepLabels.PEOPLE)


def finding(labels: QuerySet, error: bool) -> QuerySet:
    """Labels with a bad step, or with none: bad is the only mark with a minus sign in it."""
    said = labels.exclude(ratings=[])
    minus = Contains(Cast("ratings", TextField()), "-1")
    return said.filter(minus) if error else said.exclude(minus)
