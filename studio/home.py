"""The first page: the loop itself with live counts on it, and what needs this person next."""

from dataclasses import dataclass

from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone

from annotation import overview
from annotation.models import Dataset, Project, Prompt
from studio.models import WorkerBeat
from training.models import Comparison, ModelVersion, TrainingJob

# queue → what waits when nobody listens to it, and the command that listens
QUEUES = {"default": ("imports, freezing, completions", "studio worker"), "train": ("trainings", "studio trainer")}
WORDS = {"ranking": ("prompt", "Rank", "ranking"), "steps": ("trace", "Mark", "marking the steps of")}
MOST = 6  # things to do at once; the rest can wait for these


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
    """Everything the page shows, in a number of queries that projects do not raise."""
    projects = list(Project.objects.visible_to(user))
    seats = {seat.project_id: seat for seat in user.memberships.all()}
    done = overview.progress_of(projects)
    for project in projects:
        seat = seats.get(project.pk)
        project.role, project.cursor = (seat.role, seat.cursor) if seat else ("manager", None)  # or a superuser
        project.progress = done[project.pk]
    frozen = list(Dataset.objects.visible_to(user).filter(status="ready").order_by("created").distinct())
    counted = counts(user, projects) | {"datasets": len(frozen)}
    newest = {dataset.project_id: dataset.labels_then for dataset in frozen}
    return {
        "counts": counted,
        "silent": silent(),
        "next": [*of_jobs(user), *to_rank(user, projects), *to_manage(projects, newest)][:MOST],
        "may_create": user.is_staff or user.is_superuser or any(p.role == "manager" for p in projects),
        "my_projects": projects,
        "jobs_running": counted["running"] + counted["queued"],
    }


def counts(user, projects: list[Project]) -> dict:
    jobs = TrainingJob.objects.visible_to(user).aggregate(
        running=Count("pk", filter=Q(status__in=["running", "stopping"]), distinct=True),
        queued=Count("pk", filter=Q(status="queued"), distinct=True),
    )
    models = ModelVersion.objects.visible_to(user).usable()
    votes = Comparison.objects.filter(Q(created_by=user) | Q(project__in=projects), ranking__isnull=False)
    return {
        "prompts": overview.bounded(Prompt.objects.filter(project__in=projects, open_slots__gt=0)),
        "today": sum(project.progress.today for project in projects),
        "labels": sum(project.progress.given for project in projects),
        **models.aggregate(models=Count("pk", distinct=True), trained=Count("job", distinct=True)),
        "votes": votes.count(),
        **jobs,
    }


def silent() -> dict | None:
    """What nobody works on, and the one command that changes it."""
    listening = WorkerBeat.listening()
    found = [value for queue, value in QUEUES.items() if queue not in listening]
    if not found:
        return None
    waits = " and ".join(what for what, _ in found)
    return {"waits": waits.capitalize(), "command": found[0][1] if len(found) == 1 else "studio up"}


def of_jobs(user) -> list[Next]:
    """Trainings this person started that raise an alarm now, or ended unseen; the newest few."""
    alarmed = Q(status__in=["running", "stopping"]) & ~Q(alarms=[])
    ended = Q(status__in=["succeeded", "failed", "stopped"], seen=False)
    found = TrainingJob.objects.filter(alarmed | ended, created_by=user)
    return [job_item(job) for job in found.only("name", "status", "alarms", "error", "step", "total")[:4]]


def job_item(job: TrainingJob) -> Next:
    if job.ended:
        error = job.error or {}
        kind = {"succeeded": "good", "failed": "bad"}.get(job.status, "")
        detail = error.get("message") or (f"{job.step:,} of {job.total:,} steps" if job.total else "")
        return Next(f"{job.name} {job.status}", job.get_absolute_url(), "Open", detail[:160], kind)
    alarm = job.alarms[-1]
    return Next(f"{job.name} raised an alarm", job.get_absolute_url(), "Open", alarm.get("message", "")[:160], "warn")


def to_rank(user, projects: list[Project]) -> list[Next]:
    """The project with most labels to go that has a prompt for this person now."""
    hers = [project for project in projects if project.cursor is not None and project.progress.left]
    for project in sorted(hers, key=lambda project: -project.progress.left)[:3]:
        if waiting := overview.waiting_for(project, user, project.cursor):
            what, verb, doing = WORDS[project.kind]
            many = f"1,000+ {what}s wait" if waiting >= overview.MANY else f"{waiting} {plural(what, waiting)}"
            return [Next(f"Go on {doing} {project}", project.label_url, verb, many)]
    return []


def plural(noun: str, count: int) -> str:
    """
    >>> plural("prompt", 1), plural("prompt", 3)
    ('prompt waits', 'prompts wait')
    """
    return f"{noun} waits" if count == 1 else f"{noun}s wait"


def to_manage(projects: list[Project], frozen: dict[int, int]) -> list[Next]:
    """What the projects this person runs need: prompts, labelers, or freezing."""
    managed = (project for project in projects if project.role == "manager")
    return [item for project in managed if (item := manager_item(project, frozen.get(project.pk, 0)))]


def manager_item(project: Project, frozen: int) -> Next | None:
    done, slug = project.progress, [project.slug]
    if not project.prompt_count:
        return Next(f"{project} has no {WORDS[project.kind][0]}s yet", reverse("import_new", args=slug), "Import")
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
