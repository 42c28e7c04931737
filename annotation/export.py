"""A project as JSON lines, a prompt a line with its completions and rankings; the same lines can be imported."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring as quoted
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model
from django.db import connection

from annotation.bulk import ahead
from annotation.models import Project

CHUNK = 2000  # prompts held at a time

# Each table once, by the chunk's ids. Both bounds are given: no database concludes one from the other, and PostgreSQL
# would read the whole project for every chunk.
FUNCTIONS = {"postgresql": {"joined": "string_agg", "text": "::text"}, "sqlite": {"joined": "group_concat", "text": ""}}
PROMPTS = """
    SELECT id, messages{text}, reference, criterion_id, metadata{text}, origin FROM annotation_prompt
    WHERE project_id = %s AND id > %s ORDER BY id LIMIT %s"""
COMPLETIONS = """
    SELECT c.prompt_id, c.id, c.text, c.source FROM annotation_prompt p
    JOIN annotation_completion c ON c.prompt_id = p.id AND c.prompt_id BETWEEN %s AND %s
    WHERE p.project_id = %s AND p.id BETWEEN %s AND %s ORDER BY c.prompt_id, c.id"""
RANKINGS = """
    SELECT r.prompt_id, r.id, r.labeler_id, r.source, r.seconds, r.comment, r.all_bad, r.unsure, r.bad_prompt,
        r.created || '', {ranks}, {ratings}
    FROM annotation_prompt p JOIN annotation_ranking r ON r.prompt_id = p.id AND r.prompt_id BETWEEN %s AND %s
    WHERE p.project_id = %s AND p.id BETWEEN %s AND %s ORDER BY r.id"""
PLACES = """
    (SELECT {joined}('"' || k.completion_id || '": ' || {value}, ', ') FROM annotation_rankedcompletion k
    WHERE k.ranking_id = r.id)"""
FLAGS = ("all_bad", "unsure", "bad_prompt")


class Chunk(NamedTuple):
    prompts: list[tuple]
    completions: list[tuple]
    rankings: list[tuple]


def export_lines(project: Project) -> Iterator[list[str]]:
    """Lists of JSON lines, a chunk of prompts at a time."""
    criteria = {pk: quoted(name) for pk, name in project.criteria.values_list("pk", "name")}
    people = {pk: quoted(name) for pk, name in get_user_model().objects.values_list("pk", "username")}
    with connection.cursor() as cursor:
        chunks = read(cursor, project, connection.vendor)
        for chunk in ahead(chunks) if connection.vendor == "postgresql" else chunks:
            yield lines(chunk, criteria, people)


def read(cursor: Any, project: Project, vendor: str) -> Iterator[Chunk]:
    functions, last = FUNCTIONS[vendor], 0
    ranks = PLACES.format(value="k.rank", **functions)
    ratings = PLACES.format(value="coalesce(k.rating || '', 'null')", **functions) if project.ask_ratings else "NULL"
    rankings = RANKINGS.format(ranks=ranks, ratings=ratings)
    while prompts := fetch(cursor, PROMPTS.format(**functions), project.pk, last, CHUNK):
        first, last = prompts[0][0], prompts[-1][0]
        where = first, last, project.pk, first, last
        yield Chunk(prompts, fetch(cursor, COMPLETIONS, *where), fetch(cursor, rankings, *where))


def fetch(cursor: Any, sql: str, *parameters: int) -> list[tuple]:
    cursor.execute(sql, parameters)
    return cursor.fetchall()


def lines(chunk: Chunk, criteria: dict[int, str], people: dict[int, str]) -> list[str]:
    completions, rankings = defaultdict(list), defaultdict(list)
    for prompt, pk, text, source in chunk.completions:
        completions[prompt].append(f'{{"id": {pk}, "text": {quoted(text)}, "source": {quoted(source)}}}')
    for prompt, *said in chunk.rankings:
        rankings[prompt].append(ranking_json(*said, people=people))
    return [
        f'{{"id": {pk}, "prompt": {messages}, "completions": [{", ".join(completions[pk])}], '
        f'"rankings": [{", ".join(rankings[pk])}]{extra(*more, criteria)}, "origin": "{origin}"}}\n'
        for pk, messages, *more, origin in chunk.prompts
    ]


def extra(reference: str, criterion: int | None, metadata: str, criteria: dict[int, str]) -> str:
    return (
        (f', "reference": {quoted(reference)}' if reference else "")
        + (f', "criterion": {criteria[criterion]}' if criterion else "")
        + (f', "metadata": {metadata}' if metadata != "{}" else "")
    )


def ranking_json(pk, labeler, source, seconds, comment, *flags, people: dict[int, str]) -> str:
    *flags, created, ranks, ratings = flags
    said = "".join(f', "{name}": true' for name, set_ in zip(FLAGS, flags, strict=True) if set_) if any(flags) else ""
    if comment:
        said += f', "comment": {quoted(comment)}'
    if ratings:
        said += f', "ratings": {{{ratings}}}'
    return (
        f'{{"id": {pk}, "labeler": {people.get(labeler, "null")}, "source": "{source}", '
        f'"created": "{moment(created)}", "seconds": {seconds:g}, "ranks": {{{ranks or ""}}}{said}}}'
    )


@lru_cache(1000)
def moment(created: str) -> str:
    """ISO 8601, from what either database says; a batch of imported rankings shares one.

    >>> moment("2026-01-02 03:04:05.5+00"), moment("2026-01-02 03:04:05")
    ('2026-01-02T03:04:05.500000+00:00', '2026-01-02T03:04:05+00:00')
    """
    when = datetime.fromisoformat(created)
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).isoformat()
