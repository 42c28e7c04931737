"""Take labels of steps in one round trip, as `annotation.desk` takes rankings; None where anything is unusual."""

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from django.db import IntegrityError, connection
from django.utils import timezone

from annotation.desk import TALLY, stored
from annotation.rows import fetch
from annotation.steps.proposals import Source
from annotation.steps.traces import SPOKEN, labels_in, sources_in
from annotation.writing import writing


class Held(NamedTuple):
    """What a labeler's lease is on: enough to check what she sends."""

    project: int
    stop_at_first_bad: bool
    steps: list[str]
    sources: list[Source]  # whose labels she was shown as proposals


HELD_ONE = """
SELECT j.id, j.stop_at_first_bad, CAST(c.steps AS text), {labels} FROM annotation_lease l
JOIN annotation_prompt p ON p.id = l.prompt_id JOIN annotation_project j ON j.id = p.project_id
JOIN annotation_membership m ON m.project_id = j.id AND m.user_id = l.labeler_id
JOIN annotation_completion c ON c.prompt_id = p.id
WHERE l.prompt_id = %(prompt)s AND l.labeler_id = %(labeler)s AND j.slug = %(slug)s AND j.kind = 'steps'
AND c.steps <> '[]' ORDER BY c.id LIMIT 1"""
SHOWN = "s.id IN (SELECT CAST({element} AS bigint) FROM {elements})"
HELD = {vendor: HELD_ONE.format(labels=labels_in(words, SHOWN)) for vendor, words in SPOKEN.items()}
LISTS = ("ratings", "proposed", "rewrites", "flagged")
WORDS = ("gave_up", "bad_problem", "seconds", "words", "comment")
SAID = f"prompt_id, labeler_id, kind, source, key, notes, alternatives, created, {', '.join(LISTS + WORDS)}"
VALUES = """%(prompt)s, %(labeler)s, 'page', '', %(key)s, CAST('{{}}' AS {json}), CAST('{{}}' AS {json}), %(now)s,
    {values}"""


def values(json: str) -> str:
    lists = [f"CAST(%({name})s AS {json})" for name in LISTS]
    return VALUES.format(json=json, values=", ".join([*lists, *(f"%({name})s" for name in WORDS)]))


# Each part hangs on the one before it: without a lease nothing is counted, and what is not counted is not stored.
TAKE = """
WITH spent AS (DELETE FROM annotation_lease WHERE prompt_id = %(prompt)s AND labeler_id = %(labeler)s RETURNING id),
    counted AS (UPDATE annotation_prompt SET labels_given = labels_given + 1
        WHERE id = %(prompt)s AND EXISTS (SELECT 1 FROM spent) RETURNING id),
    said AS (INSERT INTO annotation_steplabels ({said}) SELECT {values} FROM counted RETURNING id),
    tidied AS (DELETE FROM annotation_draft WHERE prompt_id = %(prompt)s AND labeler_id = %(labeler)s),
    tallied AS ({tally})
SELECT id FROM said""".format(said=SAID, values=values("jsonb"), tally=TALLY.format(once="FROM said"))
TAKE_IN_STEPS = f"INSERT INTO annotation_steplabels ({SAID}) VALUES ({values('text')}) RETURNING id"


def held(prompt: int, labeler, slug: str, shown: Sequence[int]) -> Held | None:
    """What she holds a lease on, if it is a trace of this project; `shown` are ids of the labels proposed to her."""
    asked = {"prompt": prompt, "labeler": labeler.pk, "slug": slug, "wanted": json.dumps(list(shown))}
    found = fetch(HELD[connection.vendor], asked)
    return found and Held(found[0], bool(found[1]), json.loads(found[2]), sources_in(found[3]))


def take(project: int, prompt: int, labeler, clean: Mapping[str, Any], key: uuid.UUID) -> int | None:
    """Turn her lease into step labels; their id. `clean` is what `labeling.finished` gave."""
    said = {"project": project, "prompt": prompt, "labeler": labeler.pk, "day": timezone.localdate()}
    said |= {name: json.dumps(clean[name]) for name in LISTS} | {name: clean[name] for name in WORDS}
    try:
        if connection.vendor == "postgresql":
            found = fetch(TAKE, said | {"key": key, "now": timezone.now()})
        else:
            found = take_in_steps(said | {"key": key.hex, "now": stored(timezone.now())})
    except IntegrityError:  # the key was used for something else, or the same submit came twice at once
        return None
    return found and found[0]


@writing()
def take_in_steps(said: dict[str, Any]) -> tuple[int] | None:
    with connection.cursor() as cursor:
        mine = [said["prompt"], said["labeler"]]
        cursor.execute("DELETE FROM annotation_lease WHERE prompt_id = %s AND labeler_id = %s", mine)
        if not cursor.rowcount:
            return None
        cursor.execute("UPDATE annotation_prompt SET labels_given = labels_given + 1 WHERE id = %s", mine[:1])
        cursor.execute(TAKE_IN_STEPS, said)
        labels = cursor.fetchone()
        cursor.execute("DELETE FROM annotation_draft WHERE prompt_id = %s AND labeler_id = %s", mine)
        cursor.execute(TALLY.format(once="WHERE TRUE"), said)
    return labels
