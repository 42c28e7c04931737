"""Open the last decisions again, as drafts on leases: the slots stay taken, so nobody else gets them meanwhile."""

from datetime import timedelta
from heapq import nlargest
from itertools import chain

from django.db.models import F, QuerySet
from django.utils import timezone

from annotation import leases
from annotation.models import Draft, Lease, Project, Prompt, Ranking, Skip, StepLabels
from annotation.progress import tally
from annotation.ranks import FLAGS, sketched
from annotation.slots import unskip
from annotation.steps.labeling import draft_of
from annotation.writing import writing

Decision = Ranking | StepLabels | Skip

UNDOS = 10  # decisions that can be open again at once


def undo(project: Project, labeler) -> Decision | None:
    """Open her latest decision again, with its content as a draft and its slot kept. Returns what it was, if any."""
    with writing():
        leases.take_seat(project, labeler)
        if leases.leases_of(project, labeler).count() >= UNDOS + leases.AHEAD:
            return None
        return next((decision for decision in decisions(project, labeler) if reopened(project, decision)), None)


def decisions(project: Project, labeler) -> list[Decision]:
    """The last few labels and skips, newest first."""
    hers = {"labeler": labeler, "prompt__project": project}
    given = (labels_of(project).filter(**hers), Skip.objects.filter(**hers))
    latest = chain.from_iterable(rows.select_related("prompt").order_by("-created")[:UNDOS] for rows in given)
    return nlargest(UNDOS, latest, key=lambda row: row.created)


def labels_of(project: Project) -> QuerySet:
    """Labels given on the page or through the API: votes and files are not undone there."""
    if project.kind == "steps":
        return StepLabels.objects.by_people()
    return Ranking.objects.filter(source__in=["page", "api"])


def reopened(project: Project, decision: Decision) -> bool:
    if isinstance(decision, Skip):
        return reopen_skip(project, decision)
    if isinstance(decision, StepLabels):
        return reopen_label(project, decision, draft_of(decision))
    shown = list(decision.ranked.order_by("shown").values_list("completion", flat=True))
    return reopen_label(project, decision, draft_of_ranking(decision), shown=shown)


def draft_of_ranking(ranking: Ranking) -> dict:
    said = {name: getattr(ranking, name) for name in ("seconds", "comment", *FLAGS)}
    places = list(ranking.ranked.all())
    said["ranks"] = {place.completion_id: place.rank for place in places}
    said["ratings"] = {place.completion_id: place.rating for place in places if place.rating}
    return sketched(said, said["ranks"])


def reopen_label(project: Project, label: Ranking | StepLabels, draft: dict, **fields) -> bool:
    """The label becomes a lease again: the prompt's slots do not change, so nobody else can take it meanwhile."""
    prompt, labeler, day = label.prompt, label.labeler, timezone.localdate(label.created)
    Draft.objects.update_or_create(prompt=prompt, labeler=labeler, defaults={"data": draft})
    label.delete()
    Prompt.objects.filter(pk=prompt.pk).update(labels_given=F("labels_given") - 1)
    lease_first(project, prompt, labeler, **fields)
    tally(project.pk, labeler, labels=-1, seconds=-label.seconds, day=day)
    return True


def reopen_skip(project: Project, skip: Skip) -> bool:
    """False when the prompt has got all its labels since: the skip then stays."""
    if not Prompt.objects.filter(pk=skip.prompt_id, open_slots__gt=0).update(open_slots=F("open_slots") - 1):
        return False
    unskip(skip)
    lease_first(project, skip.prompt, skip.labeler)
    return True


def lease_first(project: Project, prompt: Prompt, labeler, **fields) -> Lease:
    """A lease older than all she holds, so that it comes up next."""
    oldest = leases.leases_of(project, labeler).values_list("created", flat=True).first() or timezone.now()
    created = oldest - timedelta(microseconds=1)
    return leases.hold(project, prompt, labeler, list(prompt.completions.all()), created=created, **fields)
