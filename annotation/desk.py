"""The two turns a labeler's day is made of, each in one round trip: hand out the next prompt, take a ranking.

Both give up (None) whenever anything is unusual; then `leases` and `ranking` do the same work step by step and say why.
Prompts are handed out here whatever is labeled; labels of steps are taken by `steps.desk`.
On PostgreSQL each turn is one statement, so it is one transaction without asking for one; on SQLite, where a statement
costs next to nothing, it is a short transaction.
"""

import json
import random
import uuid
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from django.db import IntegrityError, connection
from django.utils import timezone

from annotation.models import Project
from annotation.ranks import FLAGS
from annotation.rows import fetch
from annotation.writing import writing


class HandedOut(NamedTuple):
    """A prompt just leased: what the page shows of it. `texts`, as shown, are (completion id, text, source)."""

    prompt: int
    messages: list[dict]
    criterion: str
    criterion_description: str
    texts: list[tuple[int, str, str]]
    draft: dict | None
    key: str
    expires: datetime


# What `kinds.kind_of` and `kinds.ready` say. The texts of a trace are its steps, which `steps.traces` fetches.
LABELS = {"ranking": "annotation_ranking", "steps": "annotation_steplabels"}
READY = {
    "ranking": "(SELECT COUNT(*) FROM annotation_completion c WHERE c.prompt_id = p.id) > 1",
    "steps": "(SELECT COUNT(*) FROM annotation_completion c WHERE c.prompt_id = p.id AND c.steps <> '[]') > 0",
}
TEXT = {"ranking": "c.text", "steps": "''"}

# `besides` are all she holds, and there is room for one more; the rest is `leases.free_for`. Counting, where NOT EXISTS
# would do, keeps PostgreSQL from joining with all she ever ranked when one look into an index is enough.
FREE = """
    FROM annotation_prompt p WHERE p.project_id = %(project)s AND p.open_slots > 0
    AND p.id > (SELECT cursor FROM annotation_membership WHERE project_id = %(project)s AND user_id = %(labeler)s)
    AND (SELECT COUNT(*) BETWEEN 1 AND %(room)s AND COUNT(*) = COUNT(CASE WHEN l.prompt_id {besides} THEN 1 END)
        FROM annotation_lease l JOIN annotation_prompt h ON h.id = l.prompt_id
        WHERE l.labeler_id = %(labeler)s AND h.project_id = %(project)s)
    AND 0 = (SELECT COUNT(*) FROM {labels} r WHERE r.prompt_id = p.id AND r.labeler_id = %(labeler)s)
    AND 0 = (SELECT COUNT(*) FROM annotation_skip s WHERE s.prompt_id = p.id AND s.labeler_id = %(labeler)s)
    AND 0 = (SELECT COUNT(*) FROM annotation_lease l WHERE l.prompt_id = p.id AND l.labeler_id = %(labeler)s)
    AND {ready}
    ORDER BY p.id LIMIT 1"""
DETAILS = """
    LEFT JOIN annotation_criterion k ON k.id = p.criterion_id
    LEFT JOIN annotation_draft d ON d.prompt_id = p.id AND d.labeler_id = %(labeler)s"""

# The seat is locked first, so that two tabs of one person take turns; rows that others hold are passed over.
HAND_OUT_ONE = """
WITH seat AS MATERIALIZED (SELECT id FROM annotation_membership
        WHERE project_id = %(project)s AND user_id = %(labeler)s FOR NO KEY UPDATE),
    pick AS MATERIALIZED (SELECT free.id FROM seat, LATERAL (
        SELECT p.id {free} FOR NO KEY UPDATE OF p SKIP LOCKED) AS free),
    taken AS (UPDATE annotation_prompt p SET open_slots = open_slots - 1 FROM pick WHERE p.id = pick.id
        RETURNING p.id, p.messages, p.criterion_id),
    moved AS (UPDATE annotation_membership m SET cursor = taken.id FROM seat, taken WHERE m.id = seat.id),
    answers AS MATERIALIZED (SELECT c.id, {text} AS text, c.source, row_number() OVER (
            ORDER BY CASE WHEN %(blind)s THEN random() ELSE c.id END) AS place
        FROM annotation_completion c JOIN taken ON taken.id = c.prompt_id),
    made AS (INSERT INTO annotation_lease (prompt_id, labeler_id, key, shown, created, expires)
        SELECT taken.id, %(labeler)s, %(key)s, (SELECT jsonb_agg(id ORDER BY place) FROM answers), %(now)s, %(expires)s
        FROM taken RETURNING prompt_id)
SELECT p.id, p.messages::text, k.name, k.description, d.data::text,
    (SELECT json_agg(json_build_array(id, text, source) ORDER BY place)::text FROM answers)
FROM taken p JOIN made ON made.prompt_id = p.id {details}"""


def free(kind: str, besides: str) -> str:
    return FREE.format(besides=besides, labels=LABELS[kind], ready=READY[kind])


HAND_OUT = {
    kind: HAND_OUT_ONE.format(free=free(kind, "= ANY(%(besides)s)"), text=TEXT[kind], details=DETAILS)
    for kind in LABELS
}

HELD = """
SELECT j.id, j.allow_ties, CAST(l.shown AS text) FROM annotation_lease l
JOIN annotation_prompt p ON p.id = l.prompt_id JOIN annotation_project j ON j.id = p.project_id
JOIN annotation_membership m ON m.project_id = j.id AND m.user_id = l.labeler_id
WHERE l.prompt_id = %s AND l.labeler_id = %s AND j.slug = %s"""
SAID = "prompt_id, labeler_id, source, key, seconds, comment, all_bad, unsure, bad_prompt, created"
SAID_VALUES = """%(prompt)s, %(labeler)s, 'page', %(key)s, %(seconds)s, %(comment)s, %(all_bad)s, %(unsure)s,
    %(bad_prompt)s, %(now)s"""
TALLY = """
    INSERT INTO annotation_tally AS t (project_id, labeler_id, day, labels, votes, skips, seconds)
    SELECT %(project)s, %(labeler)s, %(day)s, 1, 0, 0, %(seconds)s {once}
    ON CONFLICT (project_id, labeler_id, day) DO UPDATE SET labels = t.labels + 1, seconds = t.seconds + %(seconds)s"""

# Each part hangs on the one before it: without a lease nothing is counted, and what is not counted is not stored.
TAKE = """
WITH spent AS (DELETE FROM annotation_lease WHERE prompt_id = %(prompt)s AND labeler_id = %(labeler)s RETURNING id),
    counted AS (UPDATE annotation_prompt SET labels_given = labels_given + 1
        WHERE id = %(prompt)s AND EXISTS (SELECT 1 FROM spent) RETURNING id),
    said AS (INSERT INTO annotation_ranking ({said}) SELECT {values} FROM counted RETURNING id),
    places AS (INSERT INTO annotation_rankedcompletion (ranking_id, completion_id, rank, rating, shown)
        SELECT said.id, place.* FROM said, UNNEST(%(shown)s::bigint[], %(ranks)s::smallint[], %(ratings)s::smallint[])
        WITH ORDINALITY AS place),
    tidied AS (DELETE FROM annotation_draft WHERE prompt_id = %(prompt)s AND labeler_id = %(labeler)s),
    tallied AS ({tally})
SELECT id FROM said""".format(said=SAID, values=SAID_VALUES, tally=TALLY.format(once="FROM said"))


def hand_out(project: Project, labeler, besides: Collection[int], room: int, expires: datetime) -> HandedOut | None:
    """Lease the next free prompt to someone who holds `besides` and nothing else, at most `room` of them."""
    key, now = uuid.uuid4(), timezone.now()
    asked = {"project": project.pk, "labeler": labeler.pk, "room": room, "blind": project.blind}
    try:
        if connection.vendor == "postgresql":
            leased = asked | {"besides": list(besides), "key": key, "now": now, "expires": expires}
            found = fetch(HAND_OUT[project.kind], leased)
        else:
            found = hand_out_in_steps(project.kind, besides, asked, key, now, expires)
    except IntegrityError:  # another tab of hers got there first
        return None
    if not found:
        return None
    prompt, messages, criterion, description, draft, texts = found
    texts = [tuple(text) for text in (json.loads(texts) if isinstance(texts, str) else texts)]
    told = json.loads(messages), criterion or "", description or "", texts, json.loads(draft) if draft else None
    return HandedOut(prompt, *told, str(key), expires)


@writing()
def hand_out_in_steps(
    kind: str, besides: Collection[int], asked: dict, key: uuid.UUID, now: datetime, expires: datetime
) -> tuple | None:
    held = f"IN ({', '.join(str(int(pk)) for pk in besides)})"
    picked = fetch(f"SELECT p.id {free(kind, held)}", asked)
    if not picked:
        return None
    prompt, labeler = picked[0], asked["labeler"]
    with connection.cursor() as cursor:
        texts = f"SELECT c.id, {TEXT[kind]}, c.source FROM annotation_completion c WHERE c.prompt_id = %s ORDER BY c.id"
        cursor.execute(texts, picked)
        texts = cursor.fetchall()
        if asked["blind"]:
            random.shuffle(texts)
        shown = json.dumps([pk for pk, _, _ in texts])
        cursor.execute("UPDATE annotation_prompt SET open_slots = open_slots - 1 WHERE id = %s", picked)
        place = [prompt, asked["project"], labeler]
        cursor.execute("UPDATE annotation_membership SET cursor = %s WHERE project_id = %s AND user_id = %s", place)
        cursor.execute(
            "INSERT INTO annotation_lease (prompt_id, labeler_id, key, shown, created, expires) "
            "VALUES (%s, %s, %s, %s, %s, %s)",
            [prompt, labeler, key.hex, shown, stored(now), stored(expires)],
        )
    told = fetch(
        f"SELECT p.messages, k.name, k.description, d.data FROM annotation_prompt p {DETAILS} WHERE p.id = %(prompt)s",
        {"labeler": labeler, "prompt": prompt},
    )
    return prompt, *told, texts


def held(prompt: int, labeler, slug: str) -> tuple[int, bool, list[int]] | None:
    """(project, whether ties are allowed, completions in the order shown) of her lease on a prompt of this project."""
    found = fetch(HELD, [prompt, labeler.pk, slug])
    return found and (found[0], bool(found[1]), json.loads(found[2]))


def take(project: int, prompt: int, labeler, clean: Mapping[str, Any], shown: list[int], key: uuid.UUID) -> int | None:
    """Turn her lease into a ranking; its id. `clean` is what `ranks.checked` gave."""
    remarks = {name: clean[name] for name in ("seconds", "comment", *FLAGS)}
    said = {"project": project, "prompt": prompt, "labeler": labeler.pk, "day": timezone.localdate(), **remarks}
    places = [(pk, clean["ranks"][pk], clean["ratings"].get(pk)) for pk in shown]
    try:
        if connection.vendor == "postgresql":
            said |= dict(zip(("shown", "ranks", "ratings"), map(list, zip(*places, strict=True)), strict=True))
            found = fetch(TAKE, said | {"key": key, "now": timezone.now()})
        else:
            found = take_in_steps(said | {"key": key.hex, "now": stored(timezone.now())}, places)
    except IntegrityError:  # the key was used for something else, or the same submit came twice at once
        return None
    return found and found[0]


@writing()
def take_in_steps(said: dict[str, Any], places: list[tuple]) -> tuple[int] | None:
    with connection.cursor() as cursor:
        mine = [said["prompt"], said["labeler"]]
        cursor.execute("DELETE FROM annotation_lease WHERE prompt_id = %s AND labeler_id = %s", mine)
        if not cursor.rowcount:
            return None
        cursor.execute("UPDATE annotation_prompt SET labels_given = labels_given + 1 WHERE id = %s", mine[:1])
        cursor.execute(f"INSERT INTO annotation_ranking ({SAID}) VALUES ({SAID_VALUES}) RETURNING id", said)
        ranking = cursor.fetchone()
        cursor.executemany(
            "INSERT INTO annotation_rankedcompletion (ranking_id, completion_id, rank, rating, shown) "
            "VALUES (%s, %s, %s, %s, %s)",
            [(*ranking, *place, shown) for shown, place in enumerate(places, 1)],
        )
        cursor.execute("DELETE FROM annotation_draft WHERE prompt_id = %s AND labeler_id = %s", mine)
        cursor.execute(TALLY.format(once="WHERE TRUE"), said)
    return ranking


def stored(moment: datetime) -> Any:
    return connection.ops.adapt_datetimefield_value(moment)
