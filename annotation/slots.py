"""Spend a slot on a label, or give it back: what submitting and skipping have in common, whatever is labeled."""

from django.db.models import F
from django.utils import timezone

from annotation import leases
from annotation.kinds import kind_of
from annotation.models import Lease, Prompt, Skip
from annotation.progress import tally
from annotation.ranks import Invalid
from annotation.writing import writing


class TooLate(Exception):
    """Others have given all the labels wanted; what was sent is kept as a draft."""


def take_slot(prompt: Prompt, labeler) -> bool:
    """Spend her lease, or an open slot when it has expired or another tab of hers skipped it: a skip then no longer
    stands. The row counts are the locks."""
    row = Prompt.objects.filter(pk=prompt.pk)
    given = F("labels_given") + 1
    if Lease.objects.filter(prompt=prompt, labeler=labeler).delete()[0]:
        return bool(row.update(labels_given=given))
    if labeled(prompt, labeler):
        return False
    if not row.filter(open_slots__gt=0).update(labels_given=given, open_slots=F("open_slots") - 1):
        return False
    if skipped := Skip.objects.filter(prompt=prompt, labeler=labeler).first():
        unskip(skipped)
    return True


def labeled(prompt: Prompt, labeler) -> bool:
    return kind_of(prompt.project).labels.objects.filter(prompt=prompt, labeler=labeler).exists()


def unskip(skipped: Skip) -> None:
    tally(skipped.prompt.project_id, skipped.labeler, skips=-1, day=timezone.localdate(skipped.created))
    skipped.delete()


def skip(prompt: Prompt, labeler, reason: str, comment: str = "") -> Skip | None:
    """Pass on a prompt and give its slot back; she is not shown it again, and can undo.

    None when another tab of hers has labeled it: the label stands.
    """
    if reason not in dict(Skip.REASONS):
        raise Invalid({"reason": "Choose why you skip: " + ", ".join(dict(Skip.REASONS)) + "."})
    with writing():
        if not leases.release(prompt, labeler):
            Prompt.objects.select_for_update(no_key=True).get(pk=prompt.pk)  # her tabs take turns
            if labeled(prompt, labeler):
                return None
        comment = comment.replace("\0", "").strip()
        row, new = Skip.objects.get_or_create(
            prompt=prompt, labeler=labeler, defaults={"reason": reason, "comment": comment}
        )
        if new:
            tally(prompt.project_id, labeler, skips=1)
    return row
