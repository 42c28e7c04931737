"""The model registry: list, registration, one version with its lineage, files and how to ask it."""

from itertools import groupby

from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render

from annotation.access import RANK
from annotation.downloads import download
from annotation.models import Project
from training import artifacts, curves, fetching
from training.lineage import lineage
from training.lineage_drawing import draw, tree
from training.models import MAKES, ModelVersion
from training.register_forms import FromEndpoint, FromFolder, FromHub
from training.views.step_scores import TrialForm

PAGE = 200


def visible(user):
    return ModelVersion.objects.visible_to(user).select_related("base", "project", "created_by", "job__dataset")


def models(request: HttpRequest) -> HttpResponse:
    found = visible(request.user).order_by("-pk")
    if (text := request.GET.get("q", "")[:200].strip()) and "\x00" not in text:
        found = found.filter(Q(name__icontains=text) | Q(source__icontains=text) | Q(notes__icontains=text))
    if request.GET.get("makes") in MAKES:
        found = found.filter(makes=request.GET["makes"])
    before = request.GET.get("before", "")
    page = list(found.filter(pk__lt=int(before))[: PAGE + 1] if before.isdecimal() else found[: PAGE + 1])
    context = {
        "place": "models",
        "families": families(page[:PAGE]),
        "next": page[PAGE - 1].pk if len(page) > PAGE else None,
        "coming": any(model.coming for model in page),
        "filters": {name: request.GET.get(name, "") for name in ("q", "makes")},
        "makes": MAKES,
        "may_register": may_register(request.user),
    }
    return render(request, "training/models.html#list" if request.htmx else "training/models.html", context)


def families(versions: list[ModelVersion]) -> list[tuple[str, list[ModelVersion]]]:
    """Versions of one name together, the family with the newest version first."""
    order = {name: place for place, name in enumerate(dict.fromkeys(model.name for model in versions))}
    for model in versions:
        model.headline = curves.headline(model.metrics)
        model.progress = fetching.progress(model)
        model.parameters_short = short(model.parameters)
    together = sorted(versions, key=lambda model: (order[model.name], -model.version))
    return [(name, list(group)) for name, group in groupby(together, key=lambda model: model.name)]


def short(count: int | None) -> str:
    """
    >>> short(134_515_008), short(7_300_000_000), short(120_000), short(None)
    ('135 M', '7.3 B', '0.12 M', '–')
    """
    if not count:
        return "–"
    value, unit = (count / 1e9, "B") if count >= 1e9 else (count / 1e6, "M")
    return f"{value:.3g} {unit}" if value < 10 else f"{value:.0f} {unit}"


def may_register(user) -> bool:
    return user.is_superuser or Project.objects.run_by(user).exists()


WAYS = {"hub": ("Hugging Face hub", FromHub), "endpoint": ("Endpoint", FromEndpoint), "folder": ("Folder", FromFolder)}


def model_new(request: HttpRequest) -> HttpResponse:
    if not may_register(request.user):
        raise PermissionDenied("Registering a model needs the role of manager on a project.")
    ways = {key: way for key, way in WAYS.items() if key != "folder" or request.user.is_superuser}
    way = request.GET.get("from", "hub")
    if way not in ways:
        raise PermissionDenied("Only an admin registers a folder of this machine." if way in WAYS else "No such way.")
    form = ways[way][1](request.user, request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            return redirect(form.register())
        except (ValueError, OSError) as error:
            form.add_error(None, str(error))
    context = {"place": "models", "form": form, "ways": {key: label for key, (label, _) in ways.items()}, "way": way}
    return render(request, "training/model_new.html", context, status=422 if form.is_bound else 200)


def model(request: HttpRequest, slug: str) -> HttpResponse:
    model = get_object_or_404(visible(request.user), slug=slug)
    files = artifacts.listing(model.folder) if not model.endpoint and model.status == "ready" else []
    context = {
        "place": "models",
        "project": model.project,
        "model": model,
        "progress": fetching.progress(model),
        "may_register_again": request.user.is_superuser or (may_register(request.user) and not model.from_folder),
        "files": with_checksums(model, files) if request.GET.get("checksums") else [(file, "") for file in files],
        "checksums": bool(request.GET.get("checksums")),
        "card": card(model, files),
        "may_download": may_download(request.user, model),
        "metrics": sorted(
            (name, value) for name, value in model.metrics.items() if is_number(value) and name not in curves.MACHINE
        )
        if model.status == "ready"
        else [],
        "children": visible(request.user).filter(base=model).order_by("-pk")[:20],
        "trial": TrialForm() if model.status == "ready" and model.scores_steps else None,
        **drawn(model),
        "base_url": request.build_absolute_uri("/v1"),
    }
    if request.htmx:
        return render(request, "training/model.html#" + ("files" if context["checksums"] else "page"), context)
    return render(request, "training/model.html", context)


def drawn(model: ModelVersion) -> dict:
    """The lineage as a picture and as a tree; nothing for a model that came from nowhere we know."""
    found, target = lineage(model), f"model-{model.pk}"
    if not found.edges:
        return {}
    return {"drawing": draw(found.nodes, found.edges, target), "tree": tree(found.nodes, found.edges, target)}


def with_checksums(model: ModelVersion, files: list[artifacts.File]) -> list[tuple[artifacts.File, str]]:
    return [(file, artifacts.sha256(model.folder, file)) for file in files]


def card(model: ModelVersion, files: list[artifacts.File]) -> str:
    """The model card without its YAML front matter."""
    readme = next((file for file in files if file.path == "README.md" and file.size < 1_000_000), None)
    if readme is None:
        return ""
    with artifacts.open_file(model.folder, readme) as handle:
        text = handle.read().decode("utf-8", "replace")
    return text.split("\n---\n", 1)[-1].strip() if text.startswith("---\n") else text


def may_download(user, model: ModelVersion) -> bool:
    """Weights leave the studio with reviewers and managers; those shared with everyone, with everyone."""
    if model.endpoint or model.status != "ready":
        return False
    return model.project is None or RANK[model.project.role_of(user)] >= RANK["reviewer"]


def downloadable(request: HttpRequest, slug: str) -> ModelVersion:
    model = get_object_or_404(visible(request.user), slug=slug)
    if not may_download(request.user, model):
        raise PermissionDenied(f"Downloading {model} needs the role of reviewer, and weights that we hold.")
    return model


def model_download(request: HttpRequest, slug: str) -> HttpResponseBase:
    model = downloadable(request, slug)
    files = artifacts.listing(model.folder)
    if not files:
        raise Http404("Its folder is empty.")
    return download(artifacts.tar(model.folder, files, slug), f"{slug}.tar", artifacts.tar_size(files, slug))


def model_file(request: HttpRequest, slug: str, path: str) -> HttpResponseBase:
    model = downloadable(request, slug)
    file = next((file for file in artifacts.listing(model.folder) if file.path == path), None)
    if file is None:
        raise Http404("This model has no such file.")
    return download(artifacts.chunks(model.folder, file), path.rpartition("/")[2], file.size)


def is_number(value: object) -> bool:
    return isinstance(value, int | float)
