"""The first rows of a file as they would land, under the mapping chosen on the page or guessed."""

from itertools import islice
from typing import Any

from annotation.importing.cells import BadFile, BadRow
from annotation.importing.columns import check, guess
from annotation.importing.items import OPTIONAL, Said
from annotation.importing.readers import FORMATS, Source
from annotation.importing.shapes import SHAPES, items, shapes_for
from annotation.models import SPLITS, Project
from annotation.steps.marks import SCALES
from annotation.steps.recognising import foreign
from annotation.store import store

LOOKED_AT = 100  # rows a preview reads
SHOWN = 3  # prompts it shows
FIELDS = {
    "prompt": ("Prompt", "text, or a chat as messages"),
    "completions": ("Completions", "one column that holds a list, or several columns"),
    "steps": ("Steps", "a list of texts"),
    "labels": ("Labels", "a list with one for each step, null where there is none"),
    "mistake": ("First mistake", "the index, from 0, of the first wrong step; null where none is"),
    "correct": ("Outcome", "true where the solution is right"),
    "solution": ("Solutions", "one column with a solution or a list of them, or several columns"),
    "source": ("Written by", "who or what wrote the solution"),
    "chosen": ("Chosen", "the better completion"),
    "rejected": ("Rejected", "the worse one"),
    "reference": ("Reference", "a known good answer, shown on request"),
    "criterion": ("Criterion", "what to judge by; new ones are added to the project"),
    "metadata": ("Metadata", "an object kept with the prompt"),
    "id": ("Id", "your own id, kept in the metadata"),
}


SEVERAL = ("completions", "solution")
CHOICES = {"rule": ("Cut solutions", SPLITS), "scale": ("Labels are", SCALES)}


def look_into(project: Project, key: str, said: Any) -> dict[str, Any]:
    """The first rows as they would land, under the mapping asked for or guessed."""
    source = Source(store().fetch(key), said.get("format", "") if said.get("format") in FORMATS else "")
    head, stopped = [], ""
    try:
        head = list(islice(source, LOOKED_AT))
    except BadFile as error:
        stopped = str(error)
    rows = [value for _, value in head if not isinstance(value, BadRow)]
    columns = list(dict.fromkeys(name for row in rows for name in (row if isinstance(row, dict) else ("prompt",))))
    mapping = {"format": source.format} | asked(project, said, columns, guess(rows, kind=project.kind))
    trouble = stopped or ("" if said.get("shape") else foreign(rows, project.kind))
    trouble = trouble or check(mapping, columns, project.kind)
    found, problems = ([], []) if trouble else landed(head, mapping)
    return {
        "mapping": mapping,
        "fields": fields_of(mapping, columns),
        "choices": choices_of(mapping),
        "optional_chosen": any(mapping.get(name) for name in OPTIONAL),
        "columns": columns,
        "size": source.total,
        "unit": source.unit,
        "looked_at": len(head),
        "found": found[:SHOWN],
        "problems": problems,
        "trouble": trouble or ("" if found else "None of the first rows can be read this way."),
    }


def asked(project: Project, said: Any, columns: list[str], guessed: dict) -> dict[str, Any]:
    """The mapping chosen on the page; the guess where the page has not chosen yet, or chose another shape."""
    shapes = shapes_for(project.kind)
    default = "problems" if project.kind == "steps" else "prompts"
    shape = said.get("shape") if said.get("shape") in shapes else guessed.get("shape", default)
    options = {"rule": project.split_rule} if project.kind == "steps" else {}
    options |= {name: said[name] for name, (_, values) in CHOICES.items() if said.get(name) in values}
    if said.get("mapped") != shape:
        return guessed | {"shape": shape} | options
    mapping: dict[str, Any] = {"shape": shape}
    for field in (*shapes[shape].needs, *shapes[shape].takes):
        chosen = [column for column in said.getlist(field) if column in columns]
        if chosen:
            mapping[field] = chosen if len(chosen) > 1 and field in SEVERAL else chosen[0]
    return mapping | options


def landed(head: list[tuple[int, Any]], mapping: dict) -> tuple[list, list[dict]]:
    found, problems = [], []
    for line, value in head:
        try:
            if isinstance(value, BadRow):
                raise value
            found += items(value, mapping)
        except BadRow as error:
            problems.append({"row": line, "reason": str(error)})
    return [described(item) for item in found], problems


def described(item: Any) -> dict[str, Any]:
    ranks = item.rankings[0] if item.rankings else [None] * len(item.completions)
    completions = sorted(zip(ranks, item.completions, strict=True), key=lambda pair: pair[0] or 99)
    steps = marked(item.trace.steps, item.trace.said) if item.trace else []
    return {"item": item, "completions": completions, "ranked": bool(item.rankings), "steps": steps}


def marked(steps: list[str], said: list[Said]) -> list[dict[str, Any]]:
    """The steps with the first source's marks; None where there is none."""
    first = said[0] if said else Said()
    ratings, scores = (dict(enumerate(values or [])) for values in (first.ratings, first.scores))
    return [{"text": text, "rating": ratings.get(n), "score": scores.get(n)} for n, text in enumerate(steps)]


def choices_of(mapping: dict) -> list[dict[str, Any]]:
    """How cells are to be understood: only what the mapping leaves open is asked."""
    asks = {"rule": mapping["shape"] in ("solutions", "outcome"), "scale": bool(mapping.get("labels"))}
    return [
        {
            "name": name,
            "label": label,
            "options": [(value, text, mapping.get(name) == value) for value, text in values.items()],
        }
        for name, (label, values) in CHOICES.items()
        if asks[name]
    ]


def fields_of(mapping: dict, columns: list[str]) -> list[dict[str, Any]]:
    shape = SHAPES.get(mapping.get("shape", ""))
    if shape is None:
        return []
    fields = []
    for name in (*shape.needs, *shape.takes):
        chosen = mapping.get(name) or []
        chosen = chosen if isinstance(chosen, list) else [chosen]
        label, help_text = FIELDS[name]
        fields.append({"name": name, "label": label, "help": help_text, "needed": name in shape.needs})
        fields[-1] |= {
            "options": [(column, column in chosen) for column in columns],
            "several": name in SEVERAL and mapping["shape"] not in ("stepwise", "outcome"),
        }
    return fields
