"""Open the last decisions again, as drafts on leases: the slots stay taken, so nobody else gets them meanwhile."""

from datetime import timedelta
from heapq import nlargest
from itertools import chain

from django.db.models import F
from django.utils import timezone

from annotation import leases
from annotation.models import Draft, Lease, Project, Prompt, Ranking, Skip
from annotation.progress import tally
from annotation.ranks import FLAGS, sketched
from annotation.writing import writing

UNDOS = 10  # decisions that can be open again at once


def undo(project: Project, labeler) -> Ranking | Skip | None:
    """Open her latest decision again, with its content as a draft and its slot kept. Returns what it was, if any."""
    with writing():
        leases.take_seat(project, labeler)
        if leases.leases_of(project, labeler).count() >= UNDOS + leases.AHEAD:
            return None
        return next((decision for decision in decisions(project, labeler) if reopened(project, decision)), None)


def decisions(project: Project, labeler) -> list[Ranking | Skip]:
    """The last few rankings and skips, newest first."""
    hers = {"labeler": labeler, "prompt__project": project}
    given = (Ranking.objects.filter(**hers, source__in=["page", "api"]), Skip.objects.filter(**hers))
    latest = chain.from_iterable(rows.select_related("prompt").order_by("-created")[:UNDOS] for rows in given)
    return nlargest(UNDOS, latest, key=lambda row: row.created)


def reopened(project: Project, decision: Ranking | Skip) -> bool:
    return reopen_ranking(project, decision) if isinstance(decision, Ranking) else reopen_skip(project, decision)


def reopen_ranking(project: Project, ranking: Ranking) -> bool:
    """The label becomes a lease again: the prompt's slots do not change, so nobody else can take it meanwhile."""
    places = list(ranking.ranked.order_by("shown"))
    said = {name: getattr(ranking, name) for name in ("seconds", "comment", *FLAGS)}
    said["ranks"] = {place.completion_id: place.rank for place in places}
    said["ratings"] = {place.completion_id: place.rating for place in places if place.rating}
    draft = {"data": sketched(said, said["ranks"])}
    Draft.objects.update_or_create(prompt=ranking.prompt, labeler=ranking.labeler, defaults=draft)
    prompt, labeler, day = ranking.prompt, ranking.labeler, timezone.localdate(ranking.created)
    ranking.delete()
    Prompt.objects.filter(pk=prompt.pk).update(labels_given=F("labels_given") - 1)
    lease_first(project, prompt, labeler, shown=[place.completion_id for place in places])
    tally(project.pk, labeler, labels=-1, seconds=-said["seconds"], day=day)
    return True


def reopen_skip(project: Project, skip: Skip) -> bool:
    """False when the prompt has got all its labels since: the skip then stays."""
    if not Prompt.objects.filter(pk=skip.prompt_id, open_slots__gt=0).update(open_slots=F("open_slots") - 1):
        return False
    lease_first(project, skip.prompt, skip.labeler)
    tally(project.pk, skip.labeler, skips=-1, day=timezone.localdate(skip.created))
    skip.delete()
    return True


def lease_first(project: Project, prompt: Prompt, labeler, **fields) -> Lease:
    """A lease older than all she holds, so that it comes up next."""
    oldest = leases.leases_of(project, labeler).values_list("created", flat=True).first() or timezone.now()
    created = oldest - timedelta(microseconds=1)
    return leases.hold(project, prompt, labeler, list(prompt.completions.all()), created=created, **fields)
