"""Rows out of a file or folder of any known format, one at a time, however large it is."""

import codecs
import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from annotation.importing.cells import BadFile
from annotation.importing.textfiles import TEXT, Rows, delimiter_of

HEADER_CELL = re.compile(r"[^\W\d][\w .:/-]{0,39}")
BAD_GZIP = (EOFError, zlib.error, gzip.BadGzipFile)
FORMATS = {
    "jsonl": "JSON lines",
    "json": "JSON array",
    "csv": "CSV",
    "lines": "One prompt a line",
    "parquet": "Parquet",
    "arrow": "Arrow",
}


class Source:
    """A file or folder of rows. Iterating yields (line, value); a value is a BadRow where a row cannot be read."""

    def __init__(self, path: Path, format: str = ""):
        self.files = data_files(path)
        self.total = sum(file.stat().st_size for file in self.files)
        if not self.total:
            raise BadFile("The file is empty.")
        self.format = format or sniff(self.files[0])
        self.unit = "row" if self.format in ("json", "parquet", "arrow") else "line"
        self.before, self.at, self.raw = 0, 0, None

    @property
    def done(self) -> int:
        """Bytes read so far."""
        return self.before + (self.raw.tell() if self.raw and not self.raw.closed else self.at)

    def __iter__(self) -> Rows:
        last = 0
        for file in self.files:
            offset, self.at = last, 0
            for number, value in self.read(file):
                last = offset + number
                yield last, value
            self.before += file.stat().st_size
            self.at, self.raw = 0, None

    def read(self, file: Path) -> Rows:
        if self.format in BINARY:
            yield from BINARY[self.format](file, self)
            return
        try:
            with file.open("rb") as self.raw:
                yield from TEXT[self.format](unzipped(self.raw))
        except BAD_GZIP as error:
            raise BadFile("The gzip file is damaged or ends early; upload it again.") from error


def data_files(path: Path) -> list[Path]:
    """The file itself, or the data files of a folder that `save_to_disk` (or a hub download) left."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise BadFile(f"There is no file {path}.")
    for pattern in ("**/data-*.arrow", "**/*.parquet", "**/*.jsonl", "**/*.jsonl.gz"):
        if found := sorted(path.glob(pattern)):
            return found
    raise BadFile(f"The folder {path} holds no Arrow, Parquet or JSONL files.")


def sniff(file: Path) -> str:
    """The format by content; names are not to be trusted."""
    with file.open("rb") as raw:
        magic = raw.read(8)
        raw.seek(0)
        try:
            head = unzipped(raw).read(65536)
        except BAD_GZIP as error:
            raise BadFile("The gzip file is damaged or ends early; upload it again.") from error
    if magic.startswith(b"PAR1"):
        return "parquet"
    if magic.startswith((b"ARROW1", b"\xff\xff\xff\xff")):
        return "arrow"
    return sniff_text(head)


def sniff_text(head: bytes) -> str:
    """
    >>> sniff_text(b'{"prompt": "Hi"}'), sniff_text(b" [1]"), sniff_text(b"prompt,answer"), sniff_text(b"Why is it so?")
    ('jsonl', 'json', 'csv', 'lines')
    """
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise BadFile("The file is UTF-16; save it as UTF-8.")
    if b"\x00" in head[:4096] and head[:1] not in (b"{", b"["):
        raise BadFile("This is a binary file; give JSONL, JSON, CSV, Parquet or Arrow (each may be gzipped).")
    text = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if not text:
        raise BadFile("The file holds nothing but blank lines.")
    if text[:1] in b"{[":
        return "jsonl" if text[:1] == b"{" or re.match(rb"\[.*\]\s*\n\s*\[", text) else "json"
    header = text.split(b"\n")[0].decode(errors="replace").strip()
    cells = next(csv.reader([header], delimiter=delimiter_of(header)))
    return "csv" if all(HEADER_CELL.fullmatch(cell) and len(cell.split()) < 4 for cell in cells) else "lines"


def unzipped(raw: BinaryIO) -> BinaryIO:
    zipped = raw.read(2) == b"\x1f\x8b"
    raw.seek(0)
    return io.BufferedReader(gzip.GzipFile(fileobj=raw), 1 << 18) if zipped else raw


def parquet_rows(file: Path, source: Source) -> Rows:
    import pyarrow.parquet as pq

    size, number = file.stat().st_size, 0
    try:
        with pq.ParquetFile(file) as parquet:
            rows = parquet.metadata.num_rows
            for batch in parquet.iter_batches(batch_size=1000, use_threads=False):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
                source.at = size * number // max(rows, 1)
    except (OSError, ValueError) as error:
        raise BadFile(f"The Parquet file is damaged or ends early, after row {number}: {first_line(error)}") from error


def arrow_rows(file: Path, source: Source) -> Rows:
    import pyarrow as pa

    number = 0
    try:
        with pa.memory_map(str(file)) as mapped:
            for batch in record_batches(mapped):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
                source.at = mapped.tell()
    except (OSError, ValueError) as error:
        raise BadFile(f"The Arrow file is damaged or ends early, after row {number}: {first_line(error)}") from error


def record_batches(mapped: Any) -> Iterator[Any]:
    import pyarrow as pa

    if mapped.read(6) == b"ARROW1":
        file = pa.ipc.open_file(mapped)
        yield from (file.get_batch(index) for index in range(file.num_record_batches))
    else:
        mapped.seek(0)
        yield from pa.ipc.open_stream(mapped)


def first_line(error: Exception) -> str:
    return (str(error).splitlines() or ["unreadable"])[0][:200]


BINARY = {"parquet": parquet_rows, "arrow": arrow_rows}
