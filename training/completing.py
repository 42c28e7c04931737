"""Have a model answer prompts that lack completions, or problems that lack solutions: a job, stopped and resumed."""

import asyncio

from asgiref.sync import async_to_sync, sync_to_async
from django.db import transaction
from django.db.models import Count, Exists, F, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from annotation.models import Completion, Project, Prompt, fingerprint
from annotation.steps.landing import add_solutions
from training import background, serving, wake
from training.background import beat, claim, end
from training.models import CompletionRun, Generation, ModelVersion

AT_ONCE = 8  # prompts asked for together: the model server batches what waits
POOR = {
    "ranking": "{} prompts got fewer than two different answers: raise the temperature and run again.",
    "steps": "{} problems have fewer solutions than asked for, as the model said nothing new: raise the temperature "
    "and run again.",
}
STORED = ("temperature", "top_p", "max_tokens", "seed", "system")


class NothingToDo(ValueError):
    """Every prompt has its completions."""


def lacking(project: Project, per_prompt: int) -> QuerySet[Prompt]:
    """Prompts nobody has ranked or holds, with fewer than `per_prompt` completions; problems with fewer solutions."""
    return (problems(project) if project.kind == "steps" else untouched(project)).filter(have__lt=per_prompt)


def untouched(project: Project) -> QuerySet[Prompt]:
    """Prompts whose completions may still change; `have` counts them."""
    prompts = project.prompts.filter(labels_given=0, leases=None).exclude(origin="comparison")
    return prompts.annotate(have=Count("completions")).order_by("pk")


def problems(project: Project) -> QuerySet[Prompt]:
    """The first prompt of each problem; `have` counts its solutions, which stand under prompts of their own."""
    same = project.prompts.filter(problem=OuterRef("problem")).exclude(problem="")  # as the index wants it
    solved = same.filter(completions__isnull=False).order_by().values("problem").annotate(n=Count("pk")).values("n")
    first = project.prompts.exclude(Exists(same.filter(pk__lt=OuterRef("pk"))))
    return first.annotate(have=Coalesce(Subquery(solved), 0)).order_by("pk")


def queue_run(project: Project, model: ModelVersion, per_prompt: int, sampling: dict, user) -> CompletionRun:
    """Note a run and wake a worker. Raises NothingToDo."""
    total = lacking(project, per_prompt).count()
    if not total:
        if project.kind == "steps":
            enough = f"{per_prompt} solutions" if per_prompt > 1 else "a solution"
            raise NothingToDo(f"Every problem of {project} has {enough} already.")
        raise NothingToDo(f"Every prompt of {project} has {per_prompt} completions or a ranking already.")
    known = {key: value for key, value in sampling.items() if key in STORED and value not in (None, "")}
    made = CompletionRun.objects.create(
        project=project, model=model, per_prompt=per_prompt, sampling=known, total=total, created_by=user
    )
    wake.on_commit("training.tasks.complete", made.pk)
    return made


def wake_lost() -> int:
    """Send runs again whose message or worker was lost."""
    return background.wake_lost(CompletionRun, "training.tasks.complete")


def run_completions(run: CompletionRun) -> None:
    """What a worker does: prompt after prompt until none lacks completions. A second call goes on where it stopped."""
    if not claim(run):
        return
    CompletionRun.objects.filter(pk=run.pk).update(total=lacking(run.project, run.per_prompt).count())
    status, message = "succeeded", ""
    try:
        poor = async_to_sync(answer_all)(run)
        if CompletionRun.objects.filter(pk=run.pk, cancel=True).exists():
            status = "cancelled"
        elif poor:
            message = POOR[run.project.kind].format(poor)
    except serving.ServingError as error:
        status, message = "failed", f"{error} What was answered is kept; start it again to go on."
    end(run, status, message)


async def answer_all(run: CompletionRun) -> int:
    """Answer in groups of AT_ONCE; return how many prompts still cannot be labeled."""
    beating = asyncio.create_task(beat(run))  # one that is cancelled finishes the group under way
    try:
        return await answer_groups(run)
    finally:
        beating.cancel()


async def answer_groups(run: CompletionRun) -> int:
    after, poor = 0, 0
    while group := await sync_to_async(next_group)(run, after):
        answers = await asyncio.gather(*(ask(run, prompt) for prompt in group))
        store = keep_solutions if run.project.kind == "steps" else keep
        poor += await sync_to_async(store)(run, group, answers)
        await CompletionRun.objects.filter(pk=run.pk).aupdate(done=F("done") + len(group), heartbeat=timezone.now())
        after = group[-1].pk
    return poor


def next_group(run: CompletionRun, after: int) -> list[Prompt]:
    going = CompletionRun.objects.filter(pk=run.pk, status="running", cancel=False).exists()
    return list(lacking(run.project, run.per_prompt).filter(pk__gt=after)[:AT_ONCE]) if going else []


async def ask(run: CompletionRun, prompt: Prompt) -> list[str]:
    """As many texts as the prompt lacks."""
    sampling = dict(run.sampling)
    system = sampling.pop("system", "")
    messages = [{"role": "system", "content": system}, *prompt.messages] if system else prompt.messages
    choices = await serving.chat(run.model, messages, n=run.per_prompt - prompt.have, **sampling)
    return [choice["text"].strip() for choice in choices]


@transaction.atomic
def keep(run: CompletionRun, group: list[Prompt], answers: list[list[str]]) -> int:
    """Store a group's answers and open its prompts for ranking."""
    poor = 0
    for prompt, texts in zip(group, answers, strict=True):
        for text in filter(None, texts):
            completion, new = Completion.objects.get_or_create(
                prompt=prompt, fingerprint=fingerprint(text), defaults={"text": text, "source": str(run.model)}
            )
            if new:
                Generation.objects.create(completion=completion, model=run.model, run=run, sampling=run.sampling)
        enough = prompt.completions.count() > 1
        poor += not enough
        if enough:
            Prompt.objects.filter(pk=prompt.pk, labels_given=0, leases=None).update(open_slots=F("labels_wanted"))
    return poor


@transaction.atomic
def keep_solutions(run: CompletionRun, group: list[Prompt], answers: list[list[str]]) -> int:
    """Store a group's solutions, cut into steps by the project's rule; how many problems still have too few."""
    poor = 0
    for problem, texts in zip(group, answers, strict=True):
        known = set(Completion.objects.filter(prompt__in=solutions_of(problem)).values_list("pk", flat=True))
        add_solutions(problem, [(text, None, str(run.model), None) for text in dict.fromkeys(filter(None, texts))])
        fresh = Completion.objects.filter(prompt__in=solutions_of(problem)).exclude(pk__in=known)
        Generation.objects.bulk_create(
            Generation(completion=completion, model=run.model, run=run, sampling=run.sampling) for completion in fresh
        )
        poor += len(known) + len(fresh) < run.per_prompt
    return poor


def solutions_of(problem: Prompt) -> QuerySet[Prompt]:
    return Prompt.objects.filter(project=problem.project_id, problem=problem.problem).exclude(problem="")
