"""16 labelers on the step page: traces of eight steps with a machine's proposals; otherwise as `labeling`.

python -m benchmarks labeling_steps
"""

import json

from benchmarks import labeling

STEPS, WORDS, SOURCE = 8, 15, "model:prm-v1"


def traces(cursor, project: int, json_type: str) -> None:
    """A trace for every prompt, and what a machine says of its steps."""
    steps = [" ".join(f"word{(step + 1) * word % 97}" for word in range(WORDS)) for step in range(STEPS)]
    cursor.execute(TRACE_ROWS.format(json=json_type), ["\n\n".join(steps), json.dumps(steps), project])
    kind, source = SOURCE.split(":")
    scores = [round(0.97 - 0.11 * step, 2) for step in range(STEPS)]
    said = [kind, source, json.dumps([int(score > 0.5) * 2 - 1 for score in scores]), json.dumps(scores), project]
    cursor.execute(PROPOSAL_ROWS.format(json=json_type, key=KEYS[json_type]), said)


KEYS = {"jsonb": "gen_random_uuid()", "text": "lower(hex(randomblob(16)))"}
TRACE_ROWS = """
INSERT INTO annotation_completion (prompt_id, text, source, metadata, steps, fingerprint)
SELECT id, %s, 'benchmark', CAST('{{}}' AS {json}), CAST(%s AS {json}), 'trace-' || id
FROM annotation_prompt WHERE project_id = %s
"""
PROPOSAL_ROWS = """
INSERT INTO annotation_steplabels (prompt_id, kind, source, key, ratings, scores, notes, proposed, rewrites, flagged,
                                   alternatives, gave_up, bad_problem, seconds, words, comment, created)
SELECT id, %s, %s, {key}, CAST(%s AS {json}), CAST(%s AS {json}), CAST('{{}}' AS {json}), CAST('{{}}' AS {json}),
       CAST('{{}}' AS {json}), CAST('[]' AS {json}), CAST('{{}}' AS {json}), '', '', 0, 0, '', CURRENT_TIMESTAMP
FROM annotation_prompt WHERE project_id = %s
"""


def marked(card: dict) -> dict:
    """Good up to the last step, which is bad, and one that is unsure."""
    return card | {f"step_{step}": "1" for step in range(STEPS - 1)} | {f"step_{STEPS - 1}": "-1", "flag_3": "on"}


def main() -> None:
    fields = ("key", "prompt", "proposals")
    labeling.main(labeling.Kind("labeling_steps", "steps", fields, marked, traces, proposals=(SOURCE,)))


if __name__ == "__main__":
    main()
