"""A project in numbers for its page: progress, pace, labelers, a sample. From tallies, never a full count."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import median

from django.db.models import F, Max, Q, QuerySet, Sum
from django.utils import timezone

from annotation.leases import free_for, leases_of
from annotation.models import Project, Prompt, RankedCompletion, Ranking, Tally

MANY = 1000  # counts stop here: "1,000+" is all a page needs to say
SAMPLE = 400  # prompts looked at for agreement, medians and sources


@dataclass
class Progress:
    """Labels of one project; `pace` is labels a day over the last week."""

    given: int
    wanted: int
    today: int
    pace: float
    last: date | None

    @property
    def left(self) -> int:
        return max(0, self.wanted - self.given)

    @property
    def done(self) -> bool:
        return bool(self.wanted) and not self.left

    @property
    def days_left(self) -> int | None:
        return -int(-self.left // self.pace) if self.pace and self.left else None


def progress_of(projects: Iterable[Project]) -> dict[int, Progress]:
    """Project id → progress, in one query for all of them."""
    projects, today = list(projects), timezone.localdate()
    sums = Tally.objects.filter(project__in=[project.pk for project in projects]).values("project")
    rows = sums.annotate(
        given=Sum(F("labels") - F("votes")),
        today=Sum("labels", filter=Q(day=today), default=0),
        week=Sum("labels", filter=Q(day__gt=today - timedelta(days=7)), default=0),
        last=Max("day", filter=Q(labels__gt=0)),
    )
    found = {row["project"]: row for row in rows}
    return {project.pk: progress_from(project, found.get(project.pk, {}), today) for project in projects}


def progress_from(project: Project, row: dict, today: date) -> Progress:
    age = (today - timezone.localdate(project.created)).days + 1
    return Progress(
        given=row.get("given", 0),
        wanted=project.prompt_count * project.labels_wanted,
        today=row.get("today", 0),
        pace=row.get("week", 0) / max(1, min(7, age)),
        last=row.get("last"),
    )


def days(project: Project, count: int = 30) -> list[tuple[date, int]]:
    """Labels on each of the last `count` days, oldest first, days without labels too."""
    start = timezone.localdate() - timedelta(days=count - 1)
    rows = Tally.objects.filter(project=project, day__gte=start).values_list("day").annotate(Sum("labels"))
    found = dict(rows)
    return [(day, found.get(day, 0)) for day in (start + timedelta(days=n) for n in range(count))]


def labelers(project: Project) -> list[dict]:
    """Who labeled how much, most labels first; labeler None stands for files that arrived ranked."""
    name = ("labeler__username", "labeler__first_name", "labeler__last_name")
    rows = (
        Tally.objects.filter(project=project)
        .values("labeler", *name)
        .annotate(
            given=Sum("labels"),
            today=Sum("labels", filter=Q(day=timezone.localdate()), default=0),
            skipped=Sum("skips"),
        )
    )
    return [
        row | {"name": name_of(row), "seconds": None, "agrees": None}
        for row in rows.order_by("-given", "labeler__username")
    ]


def name_of(row: dict) -> str:
    full = f"{row['labeler__first_name'] or ''} {row['labeler__last_name'] or ''}".strip()
    return full or row["labeler__username"] or "imported files"


@dataclass
class Sample:
    """Rankings of a bounded number of prompts: those with most labels, newest first among equals."""

    labels: dict[int, dict[int, dict[int, int]]]  # prompt → labeler → completion → rank
    seconds: dict[int | None, list[float]]
    sources: Counter

    def median_seconds(self, labeler: int | None) -> float | None:
        times = self.seconds.get(labeler)
        return median(times) if times else None


def sample(project: Project, limit: int = SAMPLE) -> Sample:
    """Three queries over the index on labels given: nothing here grows with the project."""
    labeled = Prompt.objects.filter(project=project, labels_given__gt=0).order_by("-labels_given", "-pk")
    prompts = list(labeled.values_list("pk", flat=True)[:limit])
    rankings = Ranking.objects.filter(prompt__in=prompts)
    seconds, sources, whose = defaultdict(list), Counter(), {}
    for row in rankings.only("prompt", "labeler", "seconds", "source", "all_bad", "bad_prompt"):
        sources[row.source] += 1
        seconds[row.labeler_id] += [row.seconds] if row.seconds else []
        if row.labeler_id and not row.all_bad and not row.bad_prompt:  # those two say nothing of the order
            whose[row.pk] = (row.prompt_id, row.labeler_id)
    return Sample(ranks_of(whose), seconds, sources)


def ranks_of(whose: dict[int, tuple[int, int]]) -> dict:
    """Ranking id → (prompt, labeler) turned into prompt → labeler → completion → rank."""
    labels: dict = defaultdict(lambda: defaultdict(dict))
    prompts = {prompt for prompt, _ in whose.values()}
    ranked = RankedCompletion.objects.filter(ranking__prompt__in=prompts).order_by()
    for ranking, completion, rank in ranked.values_list("ranking", "completion", "rank"):
        if ranking in whose:
            prompt, labeler = whose[ranking]
            labels[prompt][labeler][completion] = rank
    return labels


def bounded(queryset: QuerySet, most: int = MANY) -> int:
    """Count rows, but no further than `most`."""
    return queryset.order_by()[:most].count()


def waiting_for(project: Project, user, cursor: int = 0) -> int:
    """Prompts (at most MANY) this person could rank now; the count starts where her last search ended."""
    free = free_for(project, user)
    ahead = bounded(leases_of(project, user)) + bounded(free.filter(pk__gt=cursor))
    return min(MANY, ahead if ahead >= MANY or not cursor else ahead + bounded(free.filter(pk__lte=cursor)))


def waiting(prompts: QuerySet) -> QuerySet:
    """Prompts with nothing to rank yet: no slot was ever opened, no label given, none reserved."""
    return prompts.filter(open_slots=0, labels_given=0, leases=None)
