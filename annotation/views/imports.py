"""Getting data in: upload or paste, preview and map columns, follow the import."""

from django import forms
from django.core.files.base import ContentFile
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

from annotation.access import project_or_404
from annotation.downloads import download_file
from annotation.importing import ingest, uploads
from annotation.importing.cells import BadFile
from annotation.importing.preview import look_into
from annotation.importing.problems import problems_key
from annotation.importing.readers import FORMATS, Source
from annotation.importing.shapes import shapes_for
from annotation.models import Import, Project
from annotation.store import store


class UploadForm(forms.Form):
    file = forms.FileField(required=False)
    text = forms.CharField(required=False, widget=forms.Textarea)

    def __init__(self, *args, refused: str = "", **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.refused = refused

    def clean(self) -> dict:
        if self.refused:
            raise forms.ValidationError(self.refused)
        if not self.cleaned_data.get("file") and not self.cleaned_data.get("text"):
            raise forms.ValidationError("Choose a file, or paste some rows.")
        return self.cleaned_data

    def keep(self) -> tuple[str, str]:
        """(key in the store, name to show)"""
        file = self.cleaned_data["file"] or ContentFile(self.cleaned_data["text"].encode(), "pasted text")
        return uploads.keep(file), file.name


def import_new(request: HttpRequest, slug: str) -> HttpResponse:
    project = project_or_404(request.user, slug, "manager")
    sent = request.method == "POST"
    form = UploadForm(*(request.POST, request.FILES) if sent else (), refused=uploads.refused(request))
    if sent and form.is_valid():
        try:
            key, name = form.keep()
            Source(store().fetch(key))
            address = reverse("import_preview", args=[project.slug])
            return redirect(f"{address}?{urlencode({'upload': uploads.token(project, key, name)})}")
        except BadFile as error:
            form.add_error(None, str(error))
    context = {"place": "label", "project": project, "form": form, "imports": project.imports.all()[:10]}
    status = 422 if form.is_bound and form.errors else 200
    return render(request, "annotation/import_new.html", context, status=status)


def import_preview(request: HttpRequest, slug: str) -> HttpResponse:
    project = project_or_404(request.user, slug, "manager")
    said = request.POST or request.GET
    try:
        key, name = uploads.opened(project, said.get("upload", ""))
        look = look_into(project, key, said)
    except BadFile as error:
        name, look = "", {"trouble": str(error), "lost": True}
    if request.method == "POST" and not look["trouble"]:
        job = ingest.queue_import(project, key, name, look["mapping"], said.get("strict") == "on", request.user)
        return redirect("import", project.slug, job.pk)
    context = {"place": "label", "project": project, "upload": said.get("upload", ""), "name": name, "look": look}
    context |= {"formats": FORMATS, "shapes": shapes_for(project.kind), "strict": said.get("strict") == "on"}
    template = "annotation/import_preview.html"
    return render(request, template + "#look" if request.htmx else template, context)


def import_page(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    project = project_or_404(request.user, slug, "manager")
    job = get_object_or_404(project.imports, pk=pk)
    if request.method == "POST":
        ingest.cancel(job)
        return redirect("import", project.slug, pk)
    if not job.ended:
        ingest.wake_lost()
    context = {"place": "label", "project": project, "job": job, "lost": ingest.lost(job), **pace(job)}
    template = "annotation/import.html"
    return render(request, template + "#report" if request.htmx else template, context)


def pace(job: Import) -> dict[str, float | None]:
    """Rows a second and seconds left, once there is something to go by."""
    if not job.started or not job.done:
        return {"rate": None, "eta": None}
    seconds = max(((job.finished or timezone.now()) - job.started).total_seconds(), 0.001)
    left = (job.total - job.done) * seconds / job.done
    return {"rate": job.rows / seconds, "seconds": seconds, "eta": None if job.ended else left}


@require_safe
def import_problems(request: HttpRequest, slug: str, pk: int) -> StreamingHttpResponse:
    """Every bad row, as JSON lines."""
    project: Project = project_or_404(request.user, slug, "manager")
    job = get_object_or_404(project.imports, pk=pk)
    try:
        file = store().fetch(problems_key(job))
    except FileNotFoundError as error:
        raise Http404("This import has no bad rows.") from error
    return download_file(file, f"import-{job.pk}-problems.jsonl")
