"""Send files of any size with flat memory, never shown in the page's origin, whatever is inside."""

from collections.abc import Iterator
from pathlib import Path

from django.http import StreamingHttpResponse
from django.utils.http import content_disposition_header

CHUNK = 1 << 18


def pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            yield piece


def download(pieces: Iterator, name: str, size: int | None = None) -> StreamingHttpResponse:
    """Send the pieces as a file to keep."""
    response = StreamingHttpResponse(pieces, content_type="application/octet-stream")
    response["Content-Disposition"] = content_disposition_header(True, name)
    if size is not None:
        response["Content-Length"] = str(size)
    return response


def download_file(path: Path, name: str) -> StreamingHttpResponse:
    return download(pieces(path), name, path.stat().st_size)
