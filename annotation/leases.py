"""Reserve prompts for labelers: a lease holds one of a prompt's slots, so never more labels are given than wanted."""

import random
from collections import Counter
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Exists, F, OuterRef, QuerySet
from django.utils import timezone

from annotation.kinds import kind_of, ready
from annotation.models import Completion, Draft, Lease, Membership, Project, Prompt, Skip
from annotation.writing import writing

AHEAD = 2  # prompts held at once: the one on the page and the one fetched ahead of it


def reserve(project: Project, labeler, besides: Collection[int] = ()) -> Lease | None:
    """Her oldest lease on a prompt not in `besides`, else a new one; None when nothing is free for her.

    `lease.prompt` and `lease.completions` (in the order she sees them) are loaded.
    """
    if not besides:  # a page is opened; what is fetched ahead need not look every time
        expire(spare=labeler)
    lease = attempt(project, labeler, besides)
    return attempt(project, labeler, besides) if lease is None and expire(spare=labeler) else lease


@writing()
def attempt(project: Project, labeler, besides: Collection[int]) -> Lease | None:
    seat = take_seat(project, labeler)  # her tabs take turns, so that two tabs hold the same prompt
    held = list(leases_of(project, labeler).select_related("prompt__criterion"))
    lease = next((lease for lease in held if lease.prompt_id not in besides), None)
    if lease:
        return renewed(lease)
    return None if len(held) >= AHEAD else lease_next(project, labeler, seat, drafts_first=not held)


def leases_of(project: Project, labeler) -> QuerySet[Lease]:
    return Lease.objects.filter(labeler=labeler, prompt__project=project).order_by("created", "pk")


def take_seat(project: Project, labeler) -> Membership:
    """Lock the labeler's membership; a superuser who labels becomes a member, an outsider is refused."""
    seats = Membership.objects.select_for_update(no_key=True)
    seat = seats.filter(project=project, user=labeler).first()
    if seat is None and not labeler.is_superuser:
        raise PermissionError(f"{labeler} is not a member of {project}.")
    return seat or Membership.objects.get_or_create(project=project, user=labeler, defaults={"role": "manager"})[0]


def lease_next(project: Project, labeler, seat: Membership, drafts_first: bool) -> Lease | None:
    """Take a slot of the next prompt after the cursor, then from the start; one with her draft comes first."""
    for search in searches(project, labeler, seat.cursor, drafts_first):
        while prompt := search.first():
            completions = list(prompt.completions.all())
            if ready(project, completions):
                Prompt.objects.filter(pk=prompt.pk).update(open_slots=F("open_slots") - 1)
                Membership.objects.filter(pk=seat.pk).update(cursor=prompt.pk)
                return hold(project, prompt, labeler, completions)
            Prompt.objects.filter(pk=prompt.pk).update(open_slots=0)  # it waits for completions
    return None


def searches(project: Project, labeler, cursor: int, drafts_first: bool) -> Iterator[QuerySet[Prompt]]:
    """Where to look, in turn. Rows that others hold are passed over; only when all are held is one waited for."""
    free = free_for(project, labeler)
    passing, waiting = {"skip_locked": True, "no_key": True}, {"no_key": True}
    if drafts_first:
        drafts = Draft.objects.filter(prompt=OuterRef("pk"), labeler=labeler)
        yield free.filter(Exists(drafts)).select_for_update(**passing)
    yield free.filter(pk__gt=cursor).select_for_update(**passing)
    yield free.filter(pk__lte=cursor).select_for_update(**passing)
    yield free.select_for_update(**waiting)


def free_for(project: Project, labeler) -> QuerySet[Prompt]:
    """Prompts with an open slot that she has not labeled, skipped or leased, in order."""
    prompts = Prompt.objects.filter(project=project, open_slots__gt=0).order_by("pk")
    for hers in (kind_of(project).labels, Skip, Lease):
        prompts = prompts.exclude(Exists(hers.objects.filter(prompt=OuterRef("pk"), labeler=labeler)))
    return prompts


def hold(project: Project, prompt: Prompt, labeler, completions: list[Completion], **fields) -> Lease:
    """A lease on a slot the caller has taken; a blind project shuffles, and the order shown is kept."""
    if project.blind:
        random.shuffle(completions)
    fields = {"shown": [completion.pk for completion in completions]} | fields
    made = Lease.objects.create(prompt=prompt, labeler=labeler, expires=deadline(), **fields)
    made.completions = completions
    return made


def renewed(lease: Lease) -> Lease:
    Lease.objects.filter(pk=lease.pk).update(expires=deadline())
    place = {pk: index for index, pk in enumerate(lease.shown)}
    lease.completions = sorted(lease.prompt.completions.all(), key=lambda c: place.get(c.pk, len(place)))
    lease.shown = [completion.pk for completion in lease.completions]
    return lease


def renew(project: Project, labeler) -> int:
    """A sign of life: all she holds on the project stays hers for another while."""
    return leases_of(project, labeler).order_by().update(expires=deadline())


def release(prompt: Prompt, labeler) -> bool:
    """Give the slot back; False when she holds no lease on the prompt."""
    with writing():
        if not Lease.objects.filter(prompt=prompt, labeler=labeler).delete()[0]:
            return False
        Prompt.objects.filter(pk=prompt.pk).update(open_slots=F("open_slots") + 1)
        return True


def expire(spare=None) -> int:
    """Return the slots of leases past their time to their prompts; those of `spare`, who is here now, stay."""
    late = Lease.objects.filter(expires__lt=timezone.now()).exclude(labeler=spare)
    if not late.exists():
        return 0
    with writing():
        rows = late.select_for_update(skip_locked=True, of=("self",)).order_by("expires")
        gone = dict(rows.values_list("pk", "prompt_id")[:100])
        Lease.objects.filter(pk__in=gone).delete()
        for prompt_id, slots in sorted(Counter(gone.values()).items()):  # in order: two of these cannot deadlock
            Prompt.objects.filter(pk=prompt_id).update(open_slots=F("open_slots") + slots)
    return len(gone)


def deadline() -> datetime:
    return timezone.now() + timedelta(minutes=settings.LEASE_MINUTES)
