"""Read a growing file of JSON lines: each whole line once, with its number, and nothing a database would refuse."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PIECE = 512 * 1024  # bytes read at once


@dataclass
class Piece:
    rows: list[tuple[int, dict]]  # number of the line, its record
    offset: int  # where the next piece begins
    line: int
    more: bool


class Tail:
    """`peek` reads, `advance` moves on: a piece that could not be stored is read again."""

    def __init__(self, path: Path, line: int = 0):
        self.path, self.offset, self.line = path, 0, 0
        self.skip_to(line)

    def skip_to(self, line: int) -> None:
        if line and self.path.is_file():
            with self.path.open("rb") as file:
                for _ in range(line):
                    if not file.readline().endswith(b"\n"):
                        break
                    self.line += 1
                    self.offset = file.tell()

    def peek(self) -> Piece:
        if not self.path.is_file():
            return Piece([], self.offset, self.line, False)
        with self.path.open("rb") as file:
            file.seek(self.offset)
            data = file.read(PIECE)
            if len(data) == PIECE and b"\n" not in data:
                data += file.readline()
        whole = data[: data.rfind(b"\n") + 1]  # a line without its end is still being written
        lines = whole.split(b"\n")[:-1]
        rows = [(self.line + n, record) for n, text in enumerate(lines) if (record := parse(text))]
        return Piece(rows, self.offset + len(whole), self.line + len(lines), len(data) >= PIECE)

    def advance(self, piece: Piece) -> None:
        self.offset, self.line = piece.offset, piece.line


def parse(text: bytes) -> dict | None:
    """A record with a step, or None for a line torn by a kill."""
    try:
        record = json.loads(text, parse_constant=str)  # a bare NaN is no JSON; it becomes the word
    except ValueError:
        return None
    if not isinstance(record, dict) or not isinstance(record.get("values", {}), dict) or not count(record.get("step")):
        return None
    known = {name: record.get(name) if finite(record.get(name)) else None for name in ("eta", "time")}
    total = record["total"] if count(record.get("total")) else 0
    return clean({"values": {}} | record | known | {"total": total})


def count(value: Any) -> bool:
    return isinstance(value, int) and 0 <= value < 2**31


def finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def clean(value: Any) -> Any:
    """Text without NUL and lone surrogates, which PostgreSQL refuses."""
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {clean(key): clean(item) for key, item in value.items()}
    return [clean(item) for item in value] if isinstance(value, list) else value


def last_bytes(path: Path, count: int) -> str:
    """The end of a text file, beginning with a whole line."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        file.seek(0, 2)
        start = max(0, file.tell() - count)
        file.seek(start)
        text = file.read(count).decode("utf-8", "replace")
    return text.partition("\n")[2] if start and "\n" in text else text
