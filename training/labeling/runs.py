"""Label the steps of a project's traces in the background: resumable trace by trace, with progress and a report."""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from asgiref.sync import async_to_sync, sync_to_async
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from annotation.models import Completion, Project, StepLabels
from training import background, serving, wake
from training.labeling.kinds import BadLabeling, Kind, kind, resolved
from training.labeling.traces import Said, Trace
from training.models import ModelVersion, StepLabelRun
from training.sandbox import NoSandbox
from training.tail import clean

logger = logging.getLogger(__name__)
SOURCE = 120  # characters of a name
TOLD = ("labeled", "steps", "good", "bad", "left_out", "unsaid", "cost", "seconds")  # of a report
REASONS = 20  # why traces got no label, told apart
KEPT = "What is labeled is kept: start it again and let it label only what it has not."
WHICH = {
    "all": "all traces",
    "labeled": "those people have labeled: to see how good this is",
    "unlabeled": "those nobody has labeled",
}
AGAIN = {
    "": "refuse",
    "replace": "replace the labels there are",
    "add": "only label traces it has not labeled yet",
}


class AlreadyLabeled(BadLabeling):
    """The project has labels by this source; say whether to replace them, or give another name."""


def traces(project: Project, which: str = "all") -> QuerySet[Completion]:
    """Completions that have steps, in the order of their prompts."""
    found = Completion.objects.filter(prompt__project=project, steps__isnull=False).exclude(steps=[])
    if which != "all":
        people = Exists(StepLabels.objects.by_people().filter(prompt=OuterRef("prompt")))
        found = found.filter(people if which == "labeled" else ~people)
    return found.order_by("prompt_id")


def labelable(run: StepLabelRun) -> QuerySet[Completion]:
    """The traces of this run, but for those that lack what it needs."""
    found = traces(run.project, run.settings["which"])
    if kind(run.kind).needs_reference(run.settings):
        found = found.exclude(prompt__reference="")
    if run.settings["again"] == "add":
        mine = StepLabels.objects.filter(prompt=OuterRef("prompt"), labeler=None, kind=run.kind, source=run.source)
        found = found.filter(~Exists(mine.filter(created__lt=run.created)))
    return found


def queue_run(
    project: Project,
    kind_name: str,
    model: ModelVersion | None,
    given: dict[str, Any],
    user,
    name: str = "",
    which: str = "all",
    most: int | None = None,
    again: str = "",
) -> StepLabelRun:
    """Note a run and wake a worker. Raises BadLabeling; AlreadyLabeled when there are labels by this source."""
    run = prepared(project, kind_name, model, given, user, name, which, most, again)
    refuse_twice(run)
    run.save()
    wake.on_commit("training.tasks.label_steps", run.pk)
    return run


def prepared(project, kind_name, model, given, user, name="", which="all", most=None, again="") -> StepLabelRun:
    """The run as it would be, not saved. Raises BadLabeling."""
    if project.kind != "steps":
        raise BadLabeling(f"{project} is no project of kind steps: it has no steps to label.")
    if which not in WHICH:
        raise BadLabeling(f"Which traces is {which!r:.40}; choose one of {', '.join(WHICH)}.", "which")
    if again not in AGAIN:
        raise BadLabeling(f"Again is {again!r:.40}; choose one of {', '.join(filter(None, AGAIN))}.", "again")
    if most is not None and most < 1:
        raise BadLabeling(f"At most {most} traces are none; it should be 1 or more.", "most")
    of = kind(kind_name)
    settings = resolved(of, clean(given))
    model = model if of.MAKES else None
    if model and model.makes not in of.MAKES:
        raise BadLabeling(f"{model} is a {model.get_makes_display().lower()}, which cannot do this.", "model")
    of.check(project, model, settings)
    source = (clean(name).strip() or of.name(model, settings))[:SOURCE]
    settings |= {"which": which, "most": most, "again": again}
    run = StepLabelRun(
        project=project, kind=kind_name, source=source, model=model, settings=settings, created_by=user,
        created=timezone.now(),
    )  # fmt: skip
    run.total = min(labelable(run).count(), most or 10**9)
    run.report = {"left_out": left_out(run)}
    if not run.total:
        raise BadLabeling(nothing(run))
    return run


def left_out(run: StepLabelRun) -> dict[str, int]:
    """Why how many traces cannot be labeled so."""
    if not kind(run.kind).needs_reference(run.settings):
        return {}
    lacking = traces(run.project, run.settings["which"]).filter(prompt__reference="").count()
    return {"no reference answer": lacking} if lacking else {}


def nothing(run: StepLabelRun) -> str:
    if run.report["left_out"]:
        return "No trace has a reference answer, which the verifier needs. Import the problems with their answers."
    if run.settings["again"] == "add":
        return f"{run.kind}:{run.source} has labeled every trace already."
    return "There is no trace to label. Import solutions, or have a model write some."


def refuse_twice(run: StepLabelRun) -> None:
    same = {"kind": run.kind, "source": run.source}
    if run.project.step_label_runs.filter(status__in=background.UNFINISHED, **same).exists():
        raise BadLabeling(f"A run labels as {run.kind}:{run.source} already; wait for it, or stop it.", "name")
    there = StepLabels.objects.filter(prompt__project=run.project, labeler=None, **same).count()
    if there and not run.settings["again"]:
        raise AlreadyLabeled(
            f"{run.kind}:{run.source} has labeled {there:,} trace{'s' * (there != 1)} here. Replace its labels, label "
            "only what it has not, or give this one another name to keep both.",
            "again",
        )


def wake_lost() -> int:
    """Send runs again whose message or worker was lost."""
    return background.wake_lost(StepLabelRun, "training.tasks.label_steps")


def run_labeling(run: StepLabelRun) -> None:
    """What a worker does. Whatever ends it, what is labeled is kept; a second call goes on where it stopped."""
    if not background.claim(run):
        return
    run = StepLabelRun.objects.select_related("project", "model").get(pk=run.pk)
    progress = Progress(run)
    status, message = "succeeded", ""
    try:
        async_to_sync(label_all)(run, progress)
        message = outcome(run, progress.report)
    except asyncio.CancelledError:
        status = "cancelled"
    except (serving.ServingError, NoSandbox) as error:
        status, message = "failed", f"{error} {KEPT}"
    except Exception as error:  # anything else would be tried again and again
        logger.exception("labeling run %s", run.pk)
        status, message = "failed", f"{type(error).__name__}: {str(error).rstrip('.')}. {KEPT}"
    background.end(run, status, message, report=progress.report)


class Progress:
    """How far a run is: what it needs to go on after its worker died, and what it adds up for its report.

    `after` is the last prompt up to which everything is done; `beyond` those done after it, since groups may finish
    out of order; `known` what is known of traces under way.
    """

    def __init__(self, run: StepLabelRun):
        self.run, kept = run, run.report
        self.after, self.beyond = kept.get("after", 0), set(kept.get("beyond", ()))
        self.known: dict[str, Any] = dict(kept.get("known", {}))
        self.left_out = kept.get("left_out", {})
        self.totals = Counter({name: kept.get(name, 0) for name in ("done", "labeled", "steps", "good", "bad")})
        self.cost, self.unsaid = Counter(kept.get("cost", {})), Counter(kept.get("unsaid", {}))
        self.seconds, self.begun = kept.get("seconds", 0.0), timezone.now()
        self.pending: list[list[int]] = []  # groups handed out, in order

    @property
    def report(self) -> dict[str, Any]:
        elapsed = (timezone.now() - self.begun).total_seconds()
        return {
            **self.totals, "left_out": self.left_out, "unsaid": dict(self.unsaid), "cost": dict(self.cost),
            "after": self.after, "beyond": sorted(self.beyond), "known": self.known, "seconds": self.seconds + elapsed,
        }  # fmt: skip

    def groups(self) -> Iterator[list[Trace]]:
        """What is left to do, in groups; a trace is handed out once."""
        of, left = kind(self.run.kind), self.run.total - self.totals["done"]
        rows = labelable(self.run).filter(prompt_id__gt=self.after).exclude(prompt_id__in=self.beyond)
        columns = ("prompt", "prompt__messages", "steps", "text", "prompt__reference", "prompt__metadata", "metadata")
        rows = rows.values_list(*columns)
        while left > 0:
            last = self.pending[-1][-1] if self.pending else self.after
            found = rows.filter(prompt_id__gt=last)[: min(of.GROUP, left)]
            group = [Trace(*row, {**problem, **own}) for *row, problem, own in found]
            if not group:
                return
            left -= len(group)
            self.pending.append([trace.prompt for trace in group])
            yield group

    def finish(self, group: list[Trace], found: list[Said]) -> None:
        self.beyond |= {trace.prompt for trace in group}
        for trace, said in zip(group, found, strict=True):
            self.known.pop(str(trace.prompt), None)
            self.count(said)
        while self.pending and self.beyond.issuperset(self.pending[0]):
            done = self.pending.pop(0)
            self.after = done[-1]
        self.beyond = {prompt for prompt in self.beyond if prompt > self.after}

    def count(self, said: Said) -> None:
        self.totals["done"] += 1
        self.cost.update(said.cost)
        if said.unsaid or said.empty:
            why = said.unsaid or "it says nothing of any step"
            self.unsaid[why if why in self.unsaid or len(self.unsaid) < REASONS else "other reasons"] += 1
            return
        self.totals["labeled"] += 1
        for rating in said.ratings:
            self.totals["steps"] += rating is not None
            self.totals["bad"] += rating == -1
            self.totals["good"] += rating == 1


async def label_all(run: StepLabelRun, progress: Progress) -> None:
    """Several groups under way at once, each stored as soon as it is done. Raises CancelledError, ServingError."""
    of, groups = kind(run.kind), progress.groups()
    await sync_to_async(show)(run, progress)
    under_way = asyncio.gather(*(follow(run, of, groups, progress) for _ in range(of.AT_ONCE)))
    beating = asyncio.create_task(background.beat(run, under_way.cancel))
    try:
        await under_way
    finally:
        beating.cancel()
        under_way.cancel()
        await asyncio.gather(under_way, return_exceptions=True)


async def follow(run: StepLabelRun, of: Kind, groups: Iterator[list[Trace]], progress: Progress) -> None:
    async def keep(known: dict) -> None:
        progress.known |= known
        await sync_to_async(show)(run, progress)

    while group := await sync_to_async(next)(groups, None):
        found = await of.label(run, group, progress.known, keep)
        refuse_blank(run, found)
        await sync_to_async(store)(run, progress, group, found)


def refuse_blank(run: StepLabelRun, found: list[Said]) -> None:
    """A model that only ever answers with nothing is not one to label by."""
    cost = Counter()
    for said in found:
        cost.update(said.cost)
    if cost["completions"] >= 4 and cost["blank"] == cost["completions"]:
        raise serving.ServingError(
            f"{run.model} writes nothing: {cost['completions']} completions of one solution are all empty. Check its "
            "chat template, or raise the temperature."
        )


@transaction.atomic
def store(run: StepLabelRun, progress: Progress, group: list[Trace], found: list[Said]) -> None:
    """Labels and progress in one transaction: after a crash nothing is there twice and nothing is missing."""
    rows = StepLabels.objects.filter(labeler=None, kind=run.kind, source=run.source)
    rows.filter(prompt__in=[trace.prompt for trace in group]).delete()
    StepLabels.objects.bulk_create(
        StepLabels(prompt_id=trace.prompt, kind=run.kind, source=run.source, **said.fields())
        for trace, said in zip(group, found, strict=True)
        if not said.unsaid and not said.empty
    )
    progress.finish(group, found)
    show(run, progress)


def show(run: StepLabelRun, progress: Progress) -> None:
    """The time spent before an interruption counts, so that the time left is about right."""
    started = progress.begun - timedelta(seconds=progress.seconds)
    rows = StepLabelRun.objects.filter(pk=run.pk)
    rows.update(done=progress.totals["done"], report=progress.report, heartbeat=timezone.now(), started=started)


def outcome(run: StepLabelRun, report: dict[str, Any]) -> str:
    """What to know of a run that came to its end; nothing when all went well."""
    cost, unsaid = report["cost"], report["unsaid"]
    said = [f"{count:,} trace{'s' * (count != 1)} got no label: {why}." for why, count in unsaid.items()]
    cut = cost.get("cut", 0) / (cost.get("completions") or 1)
    if cut > 0.2:
        said.append(f"{cut:.0%} of the completions were cut: allow more tokens.")
    if cost.get("unread"):
        said.append(f"{cost['unread']:,} of {cost['asked']:,} answers could not be read as a verdict.")
    if cost.get("unfit"):
        many = "s" * (cost["unfit"] != 1)
        said.append(f"Tests of {cost['unfit']:,} step{many} could not judge; their notes say why.")
    return " ".join(said)


def told(run: StepLabelRun) -> dict[str, Any]:
    """A run for programs: without what it needs to go on."""
    report = {name: run.report[name] for name in TOLD if name in run.report}
    known = {"id": run.pk, "kind": run.kind, "source": run.name, "model": run.model and run.model.slug}
    far = {"status": run.status, "done": run.done, "total": run.total, "eta": None if run.ended else run.eta}
    return known | far | {"settings": run.settings, "message": run.message, "report": report}


def cancel(run: StepLabelRun) -> None:
    """It stops within a second or two; what is labeled stays."""
    background.cancel(run)
