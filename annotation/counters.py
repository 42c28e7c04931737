"""Keep prompts' counters right when a manager changes how many labels are wanted or deletes a label."""

from django.db import transaction
from django.db.models import Case, Count, F, Max, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import Coalesce, Greatest
from django.utils import timezone

from annotation.kinds import kind_of
from annotation.models import Completion, Project, Prompt, Ranking, StepLabels
from annotation.progress import tally

BATCH = 20_000  # prompts a statement changes: labelers wait for one batch at most


def want_labels(project: Project) -> None:
    """Let every prompt want the project's `labels_wanted`, never fewer than it has or has reserved.

    Doing it again changes nothing, so an interrupted run is just run again.
    """
    shared = project.prompts.exclude(origin="comparison")  # a vote is one person's: nobody else is asked
    ids = shared.order_by("pk").values("pk")
    start = 0
    while end := ids.filter(pk__gt=start)[:BATCH].aggregate(last=Max("pk"))["last"]:
        want(shared.filter(pk__gt=start, pk__lte=end), project.labels_wanted, kind_of(project).completions)
        start = end


def want(prompts: QuerySet, wanted: int, completions: int) -> None:
    """One statement over each row's own columns, so that a reservation made meanwhile is never lost:
    labels_wanted − open_slots is what is given or reserved. Prompts that wait for completions keep no open slot.
    """
    taken = F("labels_wanted") - F("open_slots")
    enough = Greatest(Value(wanted), taken)
    waits = Q(open_slots=0, labels_given=0, answers__lt=completions)
    prompts.annotate(answers=completions_count()).update(
        labels_wanted=Case(When(waits, then=Value(wanted)), default=enough),
        open_slots=Case(When(waits, then=Value(0)), default=enough - taken),
    )


def completions_count() -> Coalesce:
    rows = Completion.objects.filter(prompt=OuterRef("pk")).order_by().values("prompt").annotate(n=Count("pk"))
    return Coalesce(Subquery(rows.values("n")), 0)


@transaction.atomic
def delete_label(label: Ranking | StepLabels) -> None:
    """Take one label back: its prompt opens for somebody else (not after a vote), and its day's tally forgets it.

    Step labels of machines and files hold no slot: they just go.
    """
    if isinstance(label, StepLabels) and label.kind not in StepLabels.PEOPLE:
        label.delete()
        return
    vote = isinstance(label, Ranking) and label.source == "comparison"
    wanted = label.prompt.project.labels_wanted
    # Kept only because this many labels were there already, or a vote, which is one person's alone.
    surplus = Q(labels_wanted__gt=wanted) | Q(origin="comparison")
    gone, _ = type(label).objects.filter(pk=label.pk).delete()
    if not gone:
        return
    one = Case(When(surplus, then=Value(1)), default=Value(0))
    Prompt.objects.filter(pk=label.prompt_id).update(
        labels_given=F("labels_given") - 1,
        labels_wanted=F("labels_wanted") - one,
        open_slots=F("open_slots") + 1 - one,
    )
    day = timezone.localdate(label.created)
    tally(label.prompt.project_id, label.labeler, day=day, labels=-1, votes=-int(vote), seconds=-label.seconds)
