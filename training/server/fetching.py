"""Bring a model's folder in from the shared artifact store, for a server whose machine did not train it."""

from __future__ import annotations

import os
import re
import shutil
import threading
from pathlib import Path

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")  # a slug: one folder, nothing above it
one_at_a_time = threading.Lock()


def bring(name: str, models: Path) -> None:
    """Copy `models/<name>` from the fsspec URL in STUDIO_STORE below `models`; whole, or not at all.

    Does nothing without a store, for a folder that is here, or for one the store does not have.
    """
    url, folder = os.environ.get("STUDIO_STORE", ""), models / name
    if not url or not NAME.fullmatch(name) or folder.exists():
        return
    import fsspec

    with one_at_a_time:
        files, root = fsspec.core.url_to_fs(url)
        source = f"{root.rstrip('/')}/models/{name}"
        if folder.exists() or not files.exists(source):
            return
        partial = models / f".{name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        files.get(source, str(partial), recursive=True)
        partial.rename(folder)
