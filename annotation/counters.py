"""Keep prompts' counters right when a manager changes how many labels are wanted or deletes a ranking."""

from django.db import transaction
from django.db.models import Case, Count, F, Max, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import Coalesce, Greatest
from django.utils import timezone

from annotation.models import Completion, Project, Prompt, Ranking
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
        want(shared.filter(pk__gt=start, pk__lte=end), project.labels_wanted)
        start = end


def want(prompts: QuerySet, wanted: int) -> None:
    """One statement over each row's own columns, so that a reservation made meanwhile is never lost:
    labels_wanted − open_slots is what is given or reserved. Prompts that wait for completions keep no open slot.
    """
    taken = F("labels_wanted") - F("open_slots")
    enough = Greatest(Value(wanted), taken)
    waits = Q(open_slots=0, labels_given=0, answers__lt=2)
    prompts.annotate(answers=completions_count()).update(
        labels_wanted=Case(When(waits, then=Value(wanted)), default=enough),
        open_slots=Case(When(waits, then=Value(0)), default=enough - taken),
    )


def completions_count() -> Coalesce:
    rows = Completion.objects.filter(prompt=OuterRef("pk")).order_by().values("prompt").annotate(n=Count("pk"))
    return Coalesce(Subquery(rows.values("n")), 0)


@transaction.atomic
def delete_ranking(ranking: Ranking) -> None:
    """Take one ranking back: its prompt opens for somebody else (not after a vote), and its day's tally forgets it."""
    wanted = ranking.prompt.project.labels_wanted
    # Kept only because this many labels were there already, or a vote, which is one person's alone.
    surplus = Q(labels_wanted__gt=wanted) | Q(origin="comparison")
    gone, _ = Ranking.objects.filter(pk=ranking.pk).delete()
    if not gone:
        return
    one = Case(When(surplus, then=Value(1)), default=Value(0))
    Prompt.objects.filter(pk=ranking.prompt_id).update(
        labels_given=F("labels_given") - 1,
        labels_wanted=F("labels_wanted") - one,
        open_slots=F("open_slots") + 1 - one,
    )
    day = timezone.localdate(ranking.created)
    votes = -1 if ranking.source == "comparison" else 0
    tally(ranking.prompt.project_id, ranking.labeler, day=day, labels=-1, votes=votes, seconds=-ranking.seconds)
