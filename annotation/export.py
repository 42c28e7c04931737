"""A project as JSON lines, a prompt a line with its completions and rankings; the same lines can be imported.

The database writes each line: what it says of a prompt never becomes Python objects on the way out.
"""

from collections.abc import Iterator
from typing import Any

from django.contrib.auth import get_user_model
from django.db import connection

from annotation.bulk import ahead
from annotation.models import Project
from annotation.steps.exporting import trace_lines

CHUNK = 2000  # prompts held at a time

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
    with connection.cursor() as cursor:  # opened here: the thread that reads ahead would get a connection of its own
        chunks = read(cursor, project)
        yield from ahead(chunks) if connection.vendor == "postgresql" else chunks


def read(cursor: Any, project: Project) -> Iterator[list[str]]:
    sql, last = statement(project.ask_ratings), 0
    while True:
        cursor.execute(sql, [project.pk, last, CHUNK])
        if not (rows := cursor.fetchall()):
            return
        last = rows[-1][0]
        yield [line for _, line in rows]


def statement(ratings: bool) -> str:
    """SELECT the id and the whole line of a chunk of prompts; parameters: project, id to start after, how many."""
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
    return f"SELECT p.id, {line} FROM annotation_prompt p WHERE p.project_id = %s AND p.id > %s ORDER BY p.id LIMIT %s"


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
