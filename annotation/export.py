"""A project as JSON lines, a prompt a line with its completions and rankings; the same lines can be imported.

The database writes each line: what it says of a prompt never becomes Python objects on the way out.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from itertools import cycle
from typing import Any

from django.contrib.auth import get_user_model
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Max, Min

from annotation.models import Project
from annotation.steps.exporting import trace_lines

CHUNK = 2000  # prompts read at a time
READERS = 3  # chunks held at a time

DIALECTS = {
    "postgresql": {
        "quoted": "to_json({}::text)::text",
        "listed": "(SELECT string_agg({item}, ', ' ORDER BY {order}) FROM {rows})",
        "json": "{}::text",
        "moment": """to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"')""",
    },
    "sqlite": {
        "quoted": "json_quote({})",
        "listed": "(SELECT group_concat(item, ', ') FROM (SELECT {item} AS item FROM {rows} ORDER BY {order}))",
        "json": "{}",
        "moment": "replace({}, ' ', 'T') || '+00:00'",
    },
}
FLAGS = ("all_bad", "unsure", "bad_prompt")


def export_lines(project: Project) -> Iterator[list[str]]:
    """Lists of JSON lines, a chunk of prompts at a time."""
    if project.kind == "steps":
        yield from trace_lines(project)
        return
    with ExitStack() as opened:
        cursors = [opened.enter_context(other.cursor()) for other in readers(opened)]
        with ThreadPoolExecutor(len(cursors)) as pool:
            yield from in_turns(pool, cursors, project)


def readers(opened: ExitStack) -> list[BaseDatabaseWrapper]:
    """Connections to read with side by side; SQLite's threads would only wait for each other, and what an open
    transaction has written only its own connection sees."""
    if connection.vendor == "sqlite" or connection.in_atomic_block:
        return [connection]
    return [opened.enter_context(closing(connection.copy())) for _ in range(READERS)]


def in_turns(pool: ThreadPoolExecutor, cursors: list[Any], project: Project) -> Iterator[list[str]]:
    """The chunks in order; while one is in use, the other cursors read those after it."""
    sql, coming = statement(project.ask_ratings), deque()
    for cursor, span in zip(cycle(cursors), spans(project), strict=False):
        coming.append(pool.submit(read, cursor, sql, [project.pk, *span]))
        if len(coming) == len(cursors):
            yield coming.popleft().result()
    yield from (chunk.result() for chunk in coming)


def spans(project: Project) -> Iterator[tuple[int, int]]:
    """First and last id of each chunk."""
    last = 0
    while True:
        chunk = project.prompts.filter(pk__gt=last).order_by("pk").values("pk")[:CHUNK]
        first, last = chunk.aggregate(first=Min("pk"), last=Max("pk")).values()
        if last is None:
            return
        yield first, last


def read(cursor: Any, sql: str, parameters: list[int]) -> list[str]:
    cursor.execute(sql, parameters)
    return [line for (line,) in cursor.fetchall()]


def statement(ratings: bool) -> str:
    """SELECT the whole lines of a chunk of prompts; parameters: project, first and last id."""
    say = DIALECTS[connection.vendor]
    quoted, written = say["quoted"].format, say["json"].format
    criterion = f"(SELECT {quoted('k.name')} FROM annotation_criterion k WHERE k.id = p.criterion_id)"
    line = joined(
        "'{\"id\": '", "p.id", "', \"prompt\": '", written("p.messages"),
        "', \"completions\": ['", f"coalesce({completions(say)}, '')",
        "'], \"rankings\": ['", f"coalesce({rankings(say, ratings)}, '')", "']'",
        optional("reference", "p.reference <> ''", quoted("p.reference")),
        optional("criterion", "p.criterion_id IS NOT NULL", criterion),
        optional("metadata", f"{written('p.metadata')} <> '{{}}'", written("p.metadata")),
        "', \"origin\": '", quoted("p.origin"), "'}\n'",
    )  # fmt: skip
    return f"SELECT {line} FROM annotation_prompt p WHERE p.project_id = %s AND p.id BETWEEN %s AND %s ORDER BY p.id"


def completions(say: dict[str, str]) -> str:
    quoted = say["quoted"].format
    item = joined(
        "'{\"id\": '", "c.id", "', \"text\": '", quoted("c.text"), "', \"source\": '", quoted("c.source"), "'}'"
    )
    return say["listed"].format(item=item, rows="annotation_completion c WHERE c.prompt_id = p.id", order="c.id")


def rankings(say: dict[str, str], ratings: bool) -> str:
    quoted, people = say["quoted"].format, get_user_model()._meta.db_table
    labeler = f"coalesce((SELECT {quoted('u.username')} FROM {people} u WHERE u.id = r.labeler_id), 'null')"
    item = joined(
        "'{\"id\": '", "r.id", "', \"labeler\": '", labeler, "', \"source\": '", quoted("r.source"),
        "', \"created\": \"'", say["moment"].format("r.created"), "'\", \"seconds\": '", "r.seconds",
        "', \"ranks\": {'", places(say, "k.rank"), "'}'",
        *(optional(flag, f"r.{flag}", "'true'") for flag in FLAGS),
        optional("comment", "r.comment <> ''", quoted("r.comment")),
        *(["', \"ratings\": {'", places(say, "coalesce(k.rating || '', 'null')"), "'}'"] if ratings else []),
        "'}'",
    )  # fmt: skip
    return say["listed"].format(item=item, rows="annotation_ranking r WHERE r.prompt_id = p.id", order="r.id")


def places(say: dict[str, str], value: str) -> str:
    item = joined("'\"'", "k.completion_id", "'\": '", value)
    rows = "annotation_rankedcompletion k WHERE k.ranking_id = r.id"
    return f"coalesce({say['listed'].format(item=item, rows=rows, order='k.completion_id')}, '')"


def optional(name: str, condition: str, value: str) -> str:
    return f"""CASE WHEN {condition} THEN ', "{name}": ' || {value} ELSE '' END"""


def joined(*parts: str) -> str:
    return " || ".join(parts)
