"""Files on their way in: kept within size and disk, named by us, forgotten when nobody imports them."""

import errno
import shutil
import time
import uuid
from typing import Any

from django.conf import settings
from django.core import signing
from django.core.files.uploadhandler import StopUpload, TemporaryFileUploadHandler

from annotation.importing.cells import BadFile
from annotation.models import Import, Project
from annotation.store import store

FOLDER = "imports/uploads"
FULL = "The disk is full; nothing of the upload was kept. Make room and try again."
KEEP_SECONDS = 24 * 3600  # an upload nobody imported
SALT = "annotation.uploads"


class LimitedUpload(TemporaryFileUploadHandler):
    """Stops at the size limit or a full disk, leaves nothing behind, and says why in request.META."""

    def handle_raw_input(self, *args, **kwargs):
        self.received = 0

    def receive_data_chunk(self, raw_data, start):
        self.received += len(raw_data)
        if self.received > settings.UPLOAD_BYTES:
            self.stop(f"The file is larger than {settings.UPLOAD_BYTES >> 20:,} MB, the most this studio accepts.")
        try:
            self.file.write(raw_data)
        except OSError as error:
            self.stop(FULL if error.errno == errno.ENOSPC else f"The upload cannot be kept: {error.strerror}.")

    def stop(self, reason: str) -> None:
        self.file.close()
        self.request.META["upload.refused"] = reason
        raise StopUpload(connection_reset=False)


def refused(request: Any) -> str:
    """Why the request's upload was not kept; '' when it was."""
    return request.META.get("upload.refused", "")


def keep(file: Any) -> str:
    """Move an uploaded file into the store; its key. Its own name is never used for anything but display."""
    sweep()
    key = f"{FOLDER}/{uuid.uuid4().hex}"
    path = store().work(key)
    try:
        if hasattr(file, "temporary_file_path"):
            shutil.move(file.temporary_file_path(), path)
        else:
            with path.open("wb") as target:
                for chunk in file.chunks():
                    target.write(chunk)
        store().save(key)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise BadFile(FULL if error.errno == errno.ENOSPC else f"The upload cannot be kept: {error}.") from error
    return key


def sweep() -> None:
    """Forget uploads of yesterday that no import refers to."""
    folder, used = store().work(f"{FOLDER}/x").parent, None
    for path in folder.iterdir():
        if time.time() - path.stat().st_mtime > KEEP_SECONDS:
            used = used if used is not None else set(Import.objects.values_list("file", flat=True))
            if (key := f"{FOLDER}/{path.name}") not in used:
                store().remove(key)


def token(project: Project, key: str, name: str) -> str:
    """What stands for an upload in a page's address: nobody can point it at another file or project."""
    return signing.dumps([project.pk, key, name[:200]], salt=SALT, compress=True)


def opened(project: Project, text: str) -> tuple[str, str]:
    """(key, name) of an upload; BadFile when the address is not one of ours, or the file is gone."""
    try:
        owner, key, name = signing.loads(text, salt=SALT, max_age=KEEP_SECONDS)
    except signing.BadSignature as error:
        raise BadFile("This upload is no longer here; choose the file again.") from error
    if owner != project.pk or not store().exists(key):
        raise BadFile("This upload is no longer here; choose the file again.")
    return key, name
