"""A project as JSON lines, a prompt a line with its completions and rankings; the same lines can be imported."""

import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.db import connection

from annotation.models import Project

CHUNK = 2000  # prompts held at a time

# The database writes the JSON of completions and ranks itself, many times faster than rows through Python.
FUNCTIONS = {
    "postgresql": {"object": "json_build_object", "list": "json_agg", "pairs": "json_object_agg", "text": "::text"},
    "sqlite": {"object": "json_object", "list": "json_group_array", "pairs": "json_group_object", "text": ""},
}
PROMPTS = """
    SELECT id, messages{text}, reference, criterion_id, metadata{text}, origin FROM annotation_prompt
    WHERE project_id = %s AND id > %s ORDER BY id LIMIT %s"""
COMPLETIONS = """
    SELECT prompt_id, {list}({object}('id', id, 'text', text, 'source', source)){text} FROM (
        SELECT c.prompt_id, c.id, c.text, c.source FROM annotation_completion c
        JOIN annotation_prompt p ON p.id = c.prompt_id
        WHERE p.project_id = %s AND c.prompt_id BETWEEN %s AND %s ORDER BY c.prompt_id, c.id) AS ordered
    GROUP BY prompt_id"""
RANKINGS = """
    SELECT r.prompt_id, r.id, r.labeler_id, r.source, r.seconds, r.comment, r.all_bad, r.unsure, r.bad_prompt,
        r.created, {pairs}(ranked.completion_id, ranked.rank){text}, {ratings}
    FROM annotation_ranking r JOIN annotation_prompt p ON p.id = r.prompt_id
    JOIN annotation_rankedcompletion ranked ON ranked.ranking_id = r.id
    WHERE p.project_id = %s AND r.prompt_id BETWEEN %s AND %s GROUP BY r.id ORDER BY r.id"""
FLAGS = ("all_bad", "unsure", "bad_prompt")


def export_lines(project: Project) -> Iterator[list[str]]:
    """Lists of JSON lines, a chunk of prompts at a time."""
    criteria = {pk: json.dumps(name, ensure_ascii=False) for pk, name in project.criteria.values_list("pk", "name")}
    people = {pk: json.dumps(name) for pk, name in get_user_model().objects.values_list("pk", "username")}
    last = 0
    while prompts := fetch(PROMPTS, project.pk, last, CHUNK):
        first, last = prompts[0][0], prompts[-1][0]
        completions = dict(fetch(COMPLETIONS, project.pk, first, last))
        rankings = defaultdict(list)
        for prompt, *said in fetch(RANKINGS, project.pk, first, last, ratings=project.ask_ratings):
            rankings[prompt].append(ranking_json(said, people))
        yield [line(row, completions, rankings, criteria) for row in prompts]


def fetch(sql: str, *parameters: int, ratings: bool = False) -> list[tuple]:
    functions = FUNCTIONS[connection.vendor]
    rated = "{pairs}(ranked.completion_id, ranked.rating){text}".format(**functions) if ratings else "NULL"
    with connection.cursor() as cursor:
        cursor.execute(sql.format(ratings=rated, **functions), parameters)
        return cursor.fetchall()


def line(row: tuple, completions: dict, rankings: dict, criteria: dict) -> str:
    pk, messages, reference, criterion, metadata, origin = row
    extra = f', "reference": {json.dumps(reference, ensure_ascii=False)}' if reference else ""
    if criterion:
        extra += f', "criterion": {criteria[criterion]}'
    if metadata != "{}":
        extra += f', "metadata": {metadata}'
    return (
        f'{{"id": {pk}, "prompt": {messages}, "completions": {completions.get(pk, "[]")}, '
        f'"rankings": [{", ".join(rankings[pk]) if pk in rankings else ""}]{extra}, "origin": "{origin}"}}\n'
    )


def ranking_json(said: list, people: dict[int, str]) -> str:
    pk, labeler, source, seconds, comment, *flags, created, ranks, ratings = said
    extra = "".join(f', "{name}": true' for name, set_ in zip(FLAGS, flags, strict=True) if set_)
    if comment:
        extra += f', "comment": {json.dumps(comment, ensure_ascii=False)}'
    if ratings:
        extra += f', "ratings": {ratings}'
    return (
        f'{{"id": {pk}, "labeler": {people.get(labeler, "null")}, "source": "{source}", '
        f'"created": "{moment(created)}", "seconds": {seconds:g}, "ranks": {ranks}{extra}}}'
    )


def moment(created: Any) -> str:
    """ISO 8601, from what either database returns.

    >>> moment("2026-01-02 03:04:05")
    '2026-01-02T03:04:05+00:00'
    """
    return created.isoformat() if isinstance(created, datetime) else f"{created.replace(' ', 'T')}+00:00"
