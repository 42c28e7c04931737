"""Files of a run or a model, wherever the artifact store keeps them: list, open, and stream one or all as a tar."""

import hashlib
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO

from annotation.store import store

CHUNK = 1 << 20
BLOCK = 512  # a tar is made of these


@dataclass(frozen=True)
class File:
    path: str  # below the folder
    size: int


def listing(key: str) -> list[File]:
    """Every file below the folder `key`, by path; none where the folder is not there (yet)."""
    root = store().remote(key)
    if not store().fs.exists(root):
        return []
    found = store().fs.find(root, detail=True)
    prefix = store().fs._strip_protocol(root).rstrip("/") + "/"
    files = [File(name.removeprefix(prefix), info["size"]) for name, info in found.items()]
    return sorted((file for file in files if not hidden(file.path)), key=lambda file: file.path)


def hidden(path: str) -> bool:
    """Names that start with a dot are still being written."""
    return any(part.startswith(".") for part in PurePosixPath(path).parts)


def open_file(key: str, file: File) -> BinaryIO:
    return store().fs.open(f"{store().remote(key)}/{file.path}", "rb")


def chunks(key: str, file: File) -> Iterator[bytes]:
    with open_file(key, file) as handle:
        while chunk := handle.read(CHUNK):
            yield chunk


def sha256(key: str, file: File) -> str:
    digest = hashlib.sha256()
    for chunk in chunks(key, file):
        digest.update(chunk)
    return digest.hexdigest()


def tar(key: str, files: list[File], name: str) -> Iterator[bytes]:
    """The files as one tar, in a folder `name`: memory stays at one chunk however large they are."""
    for file in files:
        info = tarfile.TarInfo(f"{name}/{file.path}")
        info.size, info.mode = file.size, 0o644
        yield info.tobuf(tarfile.GNU_FORMAT)
        yield from chunks(key, file)
        yield b"\0" * (-file.size % BLOCK)
    yield b"\0" * 2 * BLOCK


def tar_size(files: list[File], name: str) -> int:
    headers = sum(len(tarfile.TarInfo(f"{name}/{file.path}").tobuf(tarfile.GNU_FORMAT)) for file in files)
    return headers + sum(file.size + -file.size % BLOCK for file in files) + 2 * BLOCK
