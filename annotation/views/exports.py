"""Getting data out: a whole project as JSON lines, its traces in published formats too."""

from django.http import HttpRequest, StreamingHttpResponse
from django.views.decorators.http import require_safe

from annotation.access import project_or_404
from annotation.downloads import download
from annotation.export import export_lines
from annotation.steps.exporting import FORMATS, format_lines


@require_safe
def export(request: HttpRequest, slug: str) -> StreamingHttpResponse:
    project = project_or_404(request.user, slug, "reviewer")
    format = request.GET.get("format", "")
    formatted = project.kind == "steps" and format in FORMATS
    found = format_lines(project, format) if formatted else export_lines(project)
    pieces = ("".join(lines).encode() for lines in found)
    return download(pieces, f"{project.slug}-{format}.jsonl" if formatted else f"{project.slug}.jsonl")
