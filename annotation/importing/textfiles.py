"""Rows out of JSON lines, a JSON array, CSV and plain lines, one at a time; a bad row does not end the file."""

import codecs
import csv
import io
import json
import re
from collections.abc import Iterator
from functools import partial
from itertools import count
from typing import Any, BinaryIO

from annotation.importing.cells import TEXT_LIMIT, BadFile, BadRow

LINE_LIMIT = 64 * 1024 * 1024
Rows = Iterator[tuple[int, Any]]


def lines_of(file: BinaryIO) -> Iterator[tuple[int, bytes | BadRow]]:
    """Numbered lines, without a byte-order mark; one too long to hold is a BadRow."""
    for number, line in zip(count(1), iter(partial(file.readline, LINE_LIMIT), b"")):
        if len(line) == LINE_LIMIT and not line.endswith(b"\n"):
            skip_line(file)
            yield number, BadRow(f"longer than {LINE_LIMIT // 2**20} MB; this is not one row")
        else:
            yield number, line.removeprefix(codecs.BOM_UTF8) if number == 1 else line


def skip_line(file: BinaryIO) -> None:
    for _ in range(16):
        part = file.readline(LINE_LIMIT)
        if not part or part.endswith(b"\n"):
            return
    raise BadFile("One line is longer than a gigabyte; this is not a file of rows.")


def not_utf8(error: UnicodeDecodeError, line: bytes) -> BadRow:
    return BadRow(f"byte {error.start + 1} (0x{line[error.start]:02x}) is not UTF-8; save the file as UTF-8")


def refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


DECODER = json.JSONDecoder(parse_constant=refuse_constant)


def json_lines(file: BinaryIO) -> Rows:
    decode = DECODER.decode
    for number, line in lines_of(file):
        if isinstance(line, BadRow):
            yield number, line
        elif line.strip():
            try:
                value = decode(line.decode())
            except UnicodeDecodeError as error:
                value = not_utf8(error, line)
            except (ValueError, RecursionError) as error:
                value = bad_json(error)
            yield number, value


def bad_json(error: Exception) -> BadRow:
    if isinstance(error, RecursionError):
        return BadRow("nested too deeply to be read")
    if isinstance(error, json.JSONDecodeError):
        return BadRow(f"not JSON: {error.msg} at character {error.pos + 1}")
    return BadRow(f"not JSON: {error}")


def json_array(file: BinaryIO) -> Rows:
    """The items of one large array, decoded as they come."""
    text = io.TextIOWrapper(file, "utf-8-sig")
    try:
        yield from array_items(text)
    except UnicodeDecodeError as error:
        raise BadFile("The file is not UTF-8; save it as UTF-8.") from error
    except RecursionError as error:
        raise BadFile("The JSON is nested too deeply to be read.") from error


def array_items(text: io.TextIOBase) -> Rows:
    buffer, at, number, step = text.read(1 << 18), 0, 0, 1 << 18
    at = buffer.index("[") + 1
    while True:
        at = after_blank(buffer, at)
        if buffer[at : at + 1] == "]":
            return
        try:
            value, end = DECODER.raw_decode(buffer, at)
            end = after_blank(buffer, end)
            if buffer[end : end + 1] not in (",", "]"):
                raise json.JSONDecodeError("a comma or ] should follow", buffer, end)
        except ValueError as error:
            more = text.read(step) if len(buffer) - at < LINE_LIMIT else ""
            if not more:
                raise BadFile(f"The array cannot be read after row {number}: {bad_json(error)}.") from error
            buffer, at, step = buffer[at:] + more, 0, step * 2
            continue
        number, at, step = number + 1, end + (buffer[end] == ","), 1 << 18
        yield number, value


BLANK = re.compile(r"\s*")


def after_blank(text: str, at: int) -> int:
    return BLANK.match(text, at).end()


def plain_lines(file: BinaryIO) -> Rows:
    """One prompt a line."""
    for number, line in lines_of(file):
        if isinstance(line, BadRow):
            yield number, line
        elif line.strip():
            try:
                yield number, {"prompt": line.decode().strip()}
            except UnicodeDecodeError as error:
                yield number, not_utf8(error, line)


class Decoded:
    """Lines as text for the csv module; `bad` keeps what could not be decoded until a row claims it."""

    def __init__(self, file: BinaryIO):
        self.lines, self.bad = lines_of(file), None

    def __iter__(self):
        return self

    def __next__(self) -> str:
        number, line = next(self.lines)
        if isinstance(line, BadRow):
            raise BadFile(f"Line {number} is {line}.")
        try:
            return line.decode()
        except UnicodeDecodeError as error:
            self.bad = self.bad or BadRow(f"line {number}, {not_utf8(error, line)}")
            return line.decode(errors="replace")

    def claim(self) -> BadRow | None:
        bad, self.bad = self.bad, None
        return bad


def csv_rows(file: BinaryIO) -> Rows:
    csv.field_size_limit(TEXT_LIMIT * 8)
    lines = Decoded(file)
    first = next(lines)
    reader = csv.reader(prepend(first, lines), delimiter=delimiter_of(first), strict=True)
    header = [name.strip() for name in next(reader)]
    if len(set(header)) < len(header):
        raise BadFile("Two columns have the same name; rename one.")
    start = reader.line_num + 1
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield start, csv_problem(error)
        else:
            if cells:
                yield start, lines.claim() or csv_row(header, cells)
        start = reader.line_num + 1


def csv_row(header: list[str], cells: list[str]) -> dict | BadRow:
    if len(cells) != len(header):
        return BadRow(f"has {len(cells)} cells; the header has {len(header)}")
    return dict(zip(header, cells, strict=True))


def csv_problem(error: csv.Error) -> BadRow:
    if "field larger" in str(error):
        raise BadFile("A cell never ends: a quote is opened and not closed.") from error
    return BadRow("a quote is opened and not closed" if "end of data" in str(error) else f"not CSV: {error}")


def prepend(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def delimiter_of(header: str) -> str:
    """
    >>> delimiter_of("prompt;chosen;rejected"), delimiter_of("prompt")
    (';', ',')
    """
    return max(",;\t|", key=lambda mark: (header.count(mark), mark == ","))


TEXT = {"jsonl": json_lines, "json": json_array, "csv": csv_rows, "lines": plain_lines}
