"""The REST API under /api/v1: what the pages do, for programs, with a bearer token from the account page."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Field, File, ModelSchema, NinjaAPI, Router, Schema, Status, UploadedFile
from ninja.security import HttpBearer

from annotation.access import project_or_404
from annotation.downloads import download_file
from annotation.freezing.freeze import NotFrozen, freeze
from annotation.importing import ingest, uploads
from annotation.importing.cells import BadFile
from annotation.models import Dataset, Import, Project, Prompt
from annotation.ranking import next_prompt, submit_ranking
from annotation.ranks import Invalid
from annotation.slots import TooLate
from annotation.steps.labeling import REASONS, next_trace, submit_steps
from annotation.store import NotInStore, store
from studio import labeling_api
from studio.models import ApiToken
from training.jobs import BadJob, cancel, launch
from training.labeling.kinds import BadLabeling
from training.models import ModelVersion, SearchRun, TrainingJob
from training.recipes.config import BadConfig
from training.searching import BadSearch, queue_search


class Token(HttpBearer):
    """A token made on the account page; its user's roles decide what it may do."""

    def authenticate(self, request: HttpRequest, token: str):
        user = ApiToken.user_of(token)
        if user:
            request.user = user
        return user


api = NinjaAPI(
    title="Alignment studio",
    version="1",
    auth=Token(),
    urls_namespace="api",
    description='Projects, rankings, datasets, trainings and models. Errors are `{"detail": "…"}`.',
)
labels, datasets, trainings = Router(tags=["labels"]), Router(tags=["datasets"]), Router(tags=["training"])


class ProjectOut(ModelSchema):
    """A project and how far it is."""

    role: str | None = None

    class Meta:
        model = Project
        fields = ["slug", "name", "kind", "labels_wanted", "allow_ties", "blind", "ask_ratings", "prompt_count"]
        fields += ["stop_at_first_bad", "proposals"]


class RankingIn(Schema):
    """What a labeler says: a rank for every completion id (1 is best, equal ranks are a tie)."""

    ranks: dict[int, int] = {}
    ratings: dict[int, int] = {}
    comment: str = ""
    seconds: float = Field(0, ge=0)
    all_bad: bool = False
    unsure: bool = False
    bad_prompt: bool = False


class StepsIn(Schema):
    """What a labeler says of a trace. Steps count from 0; null is not marked, which is not neutral."""

    ratings: list[int | None] = Field([], description="for each step -1 (bad), 0 (neutral), 1 (good) or null")
    flagged: list[int] = Field([], description="steps the labeler is unsure of")
    rewrites: dict[int, str] = Field({}, description="step → a better text of it")
    proposals: list[int] = Field([], description="the proposals that were shown, as `next` named them")
    gave_up: str = Field("", description=f"one of {', '.join(REASONS['gave_up'])}: steps may stay unmarked")
    bad_problem: str = Field("", description=f"one of {', '.join(REASONS['bad_problem'])}: steps may stay unmarked")
    comment: str = ""
    seconds: float = Field(0, ge=0)


class LabelOut(Schema):
    id: int
    prompt: int
    again: bool = Field(description="this key had been used before; nothing was stored twice")


class ImportOut(ModelSchema):
    class Meta:
        model = Import
        fields = ["id", "name", "status", "rows", "added", "known", "bad", "problems", "message"]


class FreezeIn(Schema):
    name: str
    options: dict[str, Any] = {}
    shape: str = Field(
        "", description="pairs of rankings, stepwise (the default) or outcome of traces, or prompts of either"
    )


class DatasetOut(ModelSchema):
    class Meta:
        model = Dataset
        fields = ["slug", "name", "shape", "status", "message", "fingerprint", "rows_train", "rows_eval", "options"]


class JobIn(Schema):
    recipe: str
    dataset: str
    model: str
    settings: dict[str, Any] = {}
    name: str = ""
    executor: str = Field("local", description="local: one process; accelerate:N: N processes, one a GPU")
    queue: str = Field("", description="which trainers take it, those started with --queue NAME; empty: the usual one")


class JobOut(ModelSchema):
    model: str | None = Field(None, alias="model.slug")

    class Meta:
        model = TrainingJob
        fields = ["id", "name", "recipe", "executor", "queue", "status", "step", "total", "eta", "latest", "alarms"]
        fields += ["error", "result"]


class CancelIn(Schema):
    how: str = Field("stop", pattern="^(stop|save)$", description="stop: now; save: keep the model so far")


class ModelOut(ModelSchema):
    class Meta:
        model = ModelVersion
        fields = ["slug", "name", "version", "makes", "status", "message", "sha256", "parameters", "metrics"]


@labels.get("/projects", response=list[ProjectOut])
def projects(request):
    """The projects you are a member of."""
    return [with_role(p, request.user) for p in Project.objects.visible_to(request.user).distinct()]


@labels.get("/projects/{slug}", response=ProjectOut)
def project(request, slug: str):
    """One project and your role on it."""
    return project_or_404(request.user, slug)


@labels.post("/projects/{slug}/import", response={202: ImportOut})
def import_file(request, slug: str, file: File[UploadedFile], strict: bool = False):
    """Send a file of prompts, completions or preferences; follow it at GET /imports/{id}."""
    found = project_or_404(request.user, slug, "manager")
    if reason := uploads.refused(request):
        raise BadFile(reason)
    key = uploads.keep(file)
    mapping = ingest.fit(store().fetch(key), {}, found)
    return Status(202, ingest.queue_import(found, key, file.name, mapping, strict, request.user))


@labels.get("/imports/{pk}", response=ImportOut)
def import_state(request, pk: int):
    row = get_object_or_404(Import, pk=pk)
    project_or_404(request.user, row.project.slug, "manager")
    return row


@labels.get("/projects/{slug}/next", response={200: dict, 204: None})
def next_to_label(request, slug: str):
    """The next prompt to rank, or trace to mark, reserved for you; 204 when there is none.

    Send its `key` as the Idempotency-Key of your label.
    """
    found = project_or_404(request.user, slug)
    found = (next_trace if found.kind == "steps" else next_prompt)(found, request.user)
    return Status(200, found) if found else Status(204, None)


@labels.post("/prompts/{pk}/ranking", response={201: LabelOut, 200: LabelOut})
def rank(request, pk: int, said: RankingIn):
    """Store a ranking. Repeat a request with the same Idempotency-Key and nothing is stored twice."""
    prompt = labeled(request, pk, "ranking")
    done = submit_ranking(prompt, request.user, said.dict(), request.headers.get("Idempotency-Key"), source="api")
    return Status(200 if done.again else 201, {"id": done.ranking.pk, "prompt": pk, "again": done.again})


@labels.post("/prompts/{pk}/steps", response={201: LabelOut, 200: LabelOut})
def mark_steps(request, pk: int, said: StepsIn):
    """Store labels of a trace's steps. Repeat a request with the same Idempotency-Key and nothing is stored twice."""
    prompt = labeled(request, pk, "steps")
    done = submit_steps(prompt, request.user, said.dict(), request.headers.get("Idempotency-Key"), kind="api")
    return Status(200 if done.again else 201, {"id": done.labels.pk, "prompt": pk, "again": done.again})


def labeled(request, pk: int, kind: str) -> Prompt:
    prompts = Prompt.objects.visible_to(request.user).select_related("project").distinct()
    return get_object_or_404(prompts, pk=pk, project__kind=kind)


@datasets.post("/projects/{slug}/freeze", response={202: DatasetOut})
def freeze_project(request, slug: str, body: FreezeIn):
    """Freeze the project's labels; the same labels give the same dataset."""
    found = project_or_404(request.user, slug, "manager")
    return Status(202, freeze(found, body.name, body.options, request.user, shape=body.shape))


@datasets.get("/datasets", response=list[DatasetOut])
def all_datasets(request):
    return Dataset.objects.visible_to(request.user).distinct()


@datasets.get("/datasets/{slug}", response=DatasetOut)
def dataset(request, slug: str):
    return get_object_or_404(Dataset.objects.visible_to(request.user).distinct(), slug=slug)


@datasets.get("/datasets/{slug}/rows")
def rows(request, slug: str, split: str = "train"):
    """The frozen rows as JSONL, streamed. `split` is train or eval."""
    found = dataset(request, slug)
    if found.status != "ready" or split not in ("train", "eval"):
        raise Http404(f"{found} has no rows of the split {split!r} yet.")
    return download_file(store().fetch(f"{found.folder}/{split}.jsonl"), f"{slug}-{split}.jsonl")


@trainings.post("/jobs", response={201: JobOut})
def create_job(request, body: JobIn):
    """Queue a training; settings left out take the recipe's defaults."""
    frozen = dataset(request, body.dataset)
    project_or_404(request.user, frozen.project.slug, "manager")
    base = get_object_or_404(ModelVersion.objects.visible_to(request.user).usable(), slug=body.model)
    where = {"executor": body.executor, "queue": body.queue or None}
    return Status(201, launch(request.user, frozen, body.recipe, base, body.settings, name=body.name, **where))


@trainings.get("/jobs", response=list[JobOut])
def jobs(request):
    return TrainingJob.objects.visible_to(request.user).select_related("model").distinct()[:200]


@trainings.get("/jobs/{pk}", response=JobOut)
def job(request, pk: int):
    return get_object_or_404(TrainingJob.objects.visible_to(request.user).distinct(), pk=pk)


@trainings.post("/jobs/{pk}/cancel", response=JobOut)
def cancel_job(request, pk: int, body: CancelIn):
    found = job(request, pk)
    project_or_404(request.user, found.project.slug, "manager")
    cancel(found, body.how)
    return found


@trainings.get("/models", response=list[ModelOut])
def models(request):
    return ModelVersion.objects.visible_to(request.user)


class SearchIn(Schema):
    policy: str = Field(description="the model that writes the steps")
    scorer: str = Field("", description="the model that judges them; majority vote does without")
    strategy: str = "best_of_n"
    problem: str
    reference: str = Field("", description="the right answer, where it is known")
    settings: dict[str, Any] = Field({}, description="n, width, depth, budget, temperature, …")


class SearchOut(ModelSchema):
    policy: str = Field(alias="policy.slug")
    scorer: str | None = Field(None, alias="scorer.slug")

    class Meta:
        model = SearchRun
        fields = ["id", "status", "strategy", "messages", "reference", "settings", "done", "total", "message", "result"]


@trainings.post("/searches", response={202: SearchOut})
def create_search(request, body: SearchIn):
    """Search a problem; follow it at GET /searches/{id} until its `status` is succeeded, failed or cancelled."""
    visible = ModelVersion.objects.visible_to(request.user).usable()
    policy = get_object_or_404(visible, slug=body.policy)
    scorer = get_object_or_404(visible, slug=body.scorer) if body.scorer else None
    turn = [{"role": "user", "content": body.problem}]
    return Status(202, queue_search(request.user, turn, policy, scorer, body.strategy, body.settings, body.reference))


@trainings.get("/searches/{pk}", response=SearchOut)
def search(request, pk: int):
    """One search; `result` holds its tree, as far as it is, the chosen path and the votes."""
    return get_object_or_404(SearchRun.objects.visible_to(request.user).select_related("policy", "scorer"), pk=pk)


def with_role(found: Project, user) -> Project:
    found.role = found.role_of(user)
    return found


def refuse(status: int):
    """An exception handler that answers with the exception's own sentence, under the field it is about."""

    def handler(request, error):
        detail = error.errors if isinstance(error, Invalid) else str(error)
        if field := getattr(error, "field", ""):
            detail = {field: detail}
        return api.create_response(request, {"detail": detail}, status=status)

    return handler


for kind in (Invalid, BadFile, NotFrozen, BadJob, BadConfig, BadSearch, BadLabeling):
    api.add_exception_handler(kind, refuse(422))
api.add_exception_handler(TooLate, refuse(409))
api.add_exception_handler(PermissionDenied, refuse(403))
api.add_exception_handler(NotInStore, refuse(404))
for prefix in (labels, labeling_api.router, datasets, trainings):
    api.add_router("", prefix)
