"""Getting data out: a whole project as JSON lines."""

from django.http import HttpRequest, StreamingHttpResponse
from django.views.decorators.http import require_safe

from annotation.access import project_or_404
from annotation.downloads import download
from annotation.export import export_lines


@require_safe
def export(request: HttpRequest, slug: str) -> StreamingHttpResponse:
    project = project_or_404(request.user, slug, "reviewer")
    pieces = ("".join(lines).encode() for lines in export_lines(project))
    return download(pieces, f"{project.slug}.jsonl")
