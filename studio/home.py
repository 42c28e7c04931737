"""The first page: the loop itself with live counts on it, and what needs this person next."""

from dataclasses import dataclass

from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone

from annotation import overview
from annotation.models import Dataset, Project, Prompt
from annotation.views.projects import may_create
from studio.models import WorkerBeat
from training.models import Comparison, ModelVersion, TrainingJob

QUEUES = {"default": ("imports, freezing and completions", "worker"), "train": ("trainings", "trainer")}


@dataclass
class Next:
    """One thing this person can do now."""

    text: str
    url: str
    action: str
    detail: str = ""
    kind: str = ""  # "", good, bad or warn


def home(request: HttpRequest) -> HttpResponse:
    template = "home.html#live" if request.htmx else "home.html"
    return render(request, template, live(request.user))


def live(user) -> dict:
    """Everything the page shows, in a fixed number of queries however many projects there are."""
    projects = list(Project.objects.visible_to(user))
    roles = dict(user.memberships.values_list("project", "role"))
    done = overview.progress_of(projects)
    for project in projects:
        project.role, project.progress = roles.get(project.pk, "manager"), done[project.pk]
    return {
        "projects": projects,
        "counts": counts(user, projects),
        "silent": silent_queues(),
        "next": [*ended_jobs(user), *to_rank(user, projects), *to_manage(user, projects)],
        "may_create": may_create(user),
    }


def counts(user, projects: list[Project]) -> dict:
    jobs = TrainingJob.objects.visible_to(user).aggregate(
        running=Count("pk", filter=Q(status__in=["running", "stopping"]), distinct=True),
        queued=Count("pk", filter=Q(status="queued"), distinct=True),
    )
    votes = Comparison.objects.filter(Q(created_by=user) | Q(project__in=projects), ranking__isnull=False)
    return {
        "prompts": overview.bounded(Prompt.objects.filter(project__in=projects, open_slots__gt=0)),
        "today": sum(project.progress.today for project in projects),
        "labels": sum(project.progress.given for project in projects),
        "datasets": Dataset.objects.visible_to(user).filter(status="ready").distinct().count(),
        "models": ModelVersion.objects.visible_to(user).usable().count(),
        "votes": votes.count(),
        **jobs,
    }


def silent_queues() -> list[dict]:
    listening = WorkerBeat.listening()
    return [
        {"what": what, "command": f"studio {verb}"}
        for queue, (what, verb) in QUEUES.items()
        if queue not in listening
    ]


def ended_jobs(user) -> list[Next]:
    """Trainings this person started that ended unseen, or that raise an alarm now."""
    mine = TrainingJob.objects.filter(created_by=user).only("name", "status", "alarms", "error", "step", "total")
    ended = mine.filter(seen=False, status__in=["succeeded", "failed", "stopped"])
    alarmed = mine.filter(status__in=["running", "stopping"]).exclude(alarms=[])
    return [job_item(job) for job in [*alarmed[:3], *ended[:4]]]


def job_item(job: TrainingJob) -> Next:
    if job.ended:
        error = job.error or {}
        kind = {"succeeded": "good", "failed": "bad"}.get(job.status, "")
        detail = error.get("message") or (f"{job.step:,} of {job.total:,} steps" if job.total else "")
        return Next(f"{job.name} {job.status}", job.get_absolute_url(), "Open", detail[:160], kind)
    alarm = job.alarms[-1]
    return Next(f"{job.name} raised an alarm", job.get_absolute_url(), "Open", alarm.get("message", "")[:160], "warn")


def to_rank(user, projects: list[Project]) -> list[Next]:
    """Projects with prompts this person may rank now: the three with most labels to go."""
    cursors = dict(user.memberships.values_list("project", "cursor"))
    open_ones = sorted((p for p in projects if p.pk in cursors and p.progress.left), key=lambda p: -p.progress.left)
    items = []
    for project in open_ones[:3]:
        if waiting := overview.waiting_for(project, user, cursors[project.pk]):
            many = "1,000+ prompts wait" if waiting >= overview.MANY else f"{waiting} {plural('prompt', waiting)}"
            items.append(Next(f"Go on ranking {project}", reverse("rank", args=[project.slug]), "Rank", many))
    return items


def plural(noun: str, count: int) -> str:
    """
    >>> plural("prompt", 1), plural("prompt", 3)
    ('prompt waits', 'prompts wait')
    """
    return f"{noun} waits" if count == 1 else f"{noun}s wait"


def to_manage(user, projects: list[Project]) -> list[Next]:
    """What the projects this person runs need: prompts, labelers, or freezing."""
    managed = [project for project in projects if project.role == "manager"]
    newest = frozen_counts(managed)
    items = [manager_item(project, newest.get(project.pk, 0)) for project in managed]
    return [item for item in items if item][:4]


def frozen_counts(projects: list[Project]) -> dict[int, int]:
    """Rankings in the newest ready dataset of each project."""
    rows = Dataset.objects.filter(project__in=projects, status="ready").order_by("created")
    return dict(rows.values_list("project", "ranking_count"))


def manager_item(project: Project, frozen: int) -> Next | None:
    done, slug = project.progress, [project.slug]
    if not project.prompt_count:
        return Next(f"{project} has no prompts yet", reverse("import_new", args=slug), "Import")
    fresh = done.given - frozen
    if fresh and (done.done or fresh >= max(20, frozen // 5)):
        detail = f"{fresh:,} labels {'since the last dataset' if frozen else 'in no dataset yet'}"
        return Next(f"{project} is ready to freeze", reverse("dataset_new", args=slug), "Freeze", detail)
    quiet = (timezone.localdate() - (done.last or project.created.date())).days
    if done.left and quiet > 2:
        detail = f"No label for {quiet} days, {done.left:,} to go"
        return Next(f"{project} has fallen behind", reverse("project", args=slug), "Open", detail, "warn")
    return None


def health(request: HttpRequest) -> JsonResponse:
    """For load balancers: the web process answers."""
    return JsonResponse({"status": "ok"})
