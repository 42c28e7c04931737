"""Count labels as they are given, and say how far a project is and why nothing is left to label."""

from datetime import date
from typing import Any

from django.db.models import F, Q, Sum
from django.utils import timezone

from annotation.kinds import kind_of
from annotation.models import Lease, Project, Skip, Tally


def tally(project_id: int, labeler, day: date | None = None, **counts: float) -> None:
    """Add to the labeler's counts of the day, in the transaction of what is counted."""
    row = {"project_id": project_id, "labeler": labeler, "day": day or timezone.localdate()}
    added = {name: F(name) + value for name, value in counts.items()}
    if not Tally.objects.filter(**row).update(**added):
        Tally.objects.get_or_create(**row)
        Tally.objects.filter(**row).update(**added)


def progress(project: Project, labeler) -> dict[str, Any]:
    """Labels given and wanted on the project; hers today and in all."""
    hers, today = Q(labeler=labeler), Q(day=timezone.localdate())
    sums = {"mine": Sum("labels", filter=hers), "today": Sum("labels", filter=hers & today)}
    sums |= {
        "done": Sum(F("labels") - F("votes")),
        "skips": Sum("skips", filter=hers),
        "seconds": Sum("seconds", filter=hers),
    }
    counts = {name: value or 0 for name, value in project.tallies.aggregate(**sums).items()}
    return counts | {"wanted": project.prompt_count * project.labels_wanted}


def standstill(project: Project, labeler) -> dict[str, Any]:
    """Why there is nothing for her to label: `empty`, `leased` (until when), `waiting` for completions, or `done`."""
    if not project.prompts.exists():
        return {"why": "empty"}
    others = Lease.objects.filter(prompt__project=project).exclude(labeler=labeler)
    until = others.exclude(seen_by(project, labeler)).order_by("expires").values_list("expires", flat=True).first()
    if until:
        return {"why": "leased", "until": until}
    unfinished = project.prompts.filter(labels_given__lt=F("labels_wanted"), open_slots=0, leases=None)
    return {"why": "waiting", "count": unfinished.count()} if unfinished.exists() else {"why": "done"}


def seen_by(project: Project, labeler) -> Q:
    """Prompts she has labeled or skipped."""
    given = (kind_of(project).labels, Skip)
    labeled, skipped = (rows.objects.filter(labeler=labeler).values("prompt") for rows in given)
    return Q(prompt__in=labeled) | Q(prompt__in=skipped)
