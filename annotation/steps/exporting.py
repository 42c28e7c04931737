"""A project of traces as JSON lines: our own, which bring back every source's labels, or those of published formats."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from json import dumps
from typing import Any

from django.db.models import F

from annotation.bulk import Among
from annotation.importing.cells import BadRow
from annotation.importing.items import Said
from annotation.models import Alternative, Completion, Project, StepLabels
from annotation.steps import mathshepherd, prm800k

CHUNK = 1000  # prompts held at a time
PROMPT = ("pk", "messages", "reference", "criterion__name", "metadata", "origin")
LISTS = ("ratings", "scores", "errors")
WHEN_SAID = ("notes", "rewrites", "alternatives", "flagged", "gave_up", "bad_problem", "seconds", "comment")
LABELS = ("prompt_id", "kind", "source", "labeler__username", "created", *LISTS, *WHEN_SAID)


def trace_lines(project: Project) -> Iterator[list[str]]:
    """Lists of JSON lines, a chunk of prompts at a time; importing them again gives the same traces and labels."""
    for prompts in chunks(project):
        answers, labels, others = gathered([row[0] for row in prompts])
        yield [json_line(line(row, answers.get(row[0]), labels[row[0]], others[row[0]])) for row in prompts]


def chunks(project: Project) -> Iterator[list[tuple]]:
    last = 0
    while rows := list(project.prompts.filter(pk__gt=last).order_by("pk").values_list(*PROMPT)[:CHUNK]):
        yield rows
        last = rows[-1][0]


def gathered(prompts: list[int]) -> tuple[dict[int, tuple], dict[int, list[dict]], dict[int, list[dict]]]:
    """By prompt: its solution, what is said of it, and the other texts of its steps."""
    answers, labels, others = {}, defaultdict(list), defaultdict(list)
    columns = ("prompt_id", "steps", "text", "source", "metadata")
    for prompt, *answer in solutions(prompts).values_list(*columns):
        answers.setdefault(prompt, answer)
    for row in StepLabels.objects.filter(Among(F("prompt_id"), prompts)).order_by("pk").values_list(*LABELS):
        labels[row[0]].append(label(*row[1:]))
    found = Alternative.objects.filter(Among(F("completion__prompt_id"), prompts)).order_by("step", "pk")
    for prompt, step, text, source in found.values_list("completion__prompt_id", "step", "text", "source"):
        others[prompt].append({"step": step, "text": text} | ({"source": source} if source else {}))
    return answers, labels, others


def solutions(prompts: list[int]) -> Any:
    return Completion.objects.filter(Among(F("prompt_id"), prompts), steps__isnull=False).order_by("pk")


def label(kind: str, source: str, labeler: str | None, created: Any, *said: Any) -> dict[str, Any]:
    who = {"labeler": labeler, "kind": kind} if labeler else {"kind": kind, "source": source}
    lists, rest = said[: len(LISTS)], said[len(LISTS) :]
    told = {name: value for name, value in zip(LISTS, lists, strict=True) if value is not None}
    told |= {name: value for name, value in zip(WHEN_SAID, rest, strict=True) if value}
    return who | told | {"created": created.isoformat()}


def line(prompt: tuple, answer: tuple | None, labels: list[dict], others: list[dict]) -> dict[str, Any]:
    pk, messages, reference, criterion, metadata, origin = prompt
    row = {"id": pk, "prompt": messages, "steps": answer and answer[0]} | (solution(*answer) if answer else {})
    row |= {"labels": labels} | ({"alternatives": others} if others else {})
    facts = {"reference": reference, "criterion": criterion, "metadata": metadata}
    return row | {name: value for name, value in facts.items() if value} | {"origin": origin}


def solution(steps: list[str], text: str, source: str, metadata: dict) -> dict[str, Any]:
    """What the steps do not say of the solution: how its whole text differs, who wrote it."""
    told = {"text": text if text != "\n\n".join(steps) else "", "source": source, "metadata": metadata}
    told = {name: value for name, value in told.items() if value}
    return {"solution": told} if told else {}


def json_line(row: dict) -> str:
    return dumps(row, ensure_ascii=False) + "\n"


# ---- published formats: a line for each source's labels of a trace ----


def format_lines(project: Project, format: str) -> Iterator[list[str]]:
    """Lists of lines; labels that the format cannot hold are passed over."""
    write = FORMATS[format][1]
    for prompts in chunks(project):
        answers, labels, _ = gathered([row[0] for row in prompts])
        said = [(row, answers[row[0]][0], one) for row in prompts if row[0] in answers for one in labels[row[0]]]
        yield [json_line(found) for row, steps, one in said if (found := written(write, row, steps, one))]


def written(write: Callable, prompt: tuple, steps: list[str], one: dict) -> dict | None:
    fields = {name: one[name] for name in (*LISTS, *WHEN_SAID) if name in one}
    name = one.get("labeler") or f"{one['kind']}:{one['source']}"
    try:
        return write(prompt[1], steps, Said(**fields), prompt[2], name)
    except BadRow:
        return None


def as_prm800k(messages: list[dict], steps: list[str], said: Said, reference: str, name: str) -> dict:
    return prm800k.write(problem_of(messages), steps, said, reference, name)


def as_math_shepherd(messages: list[dict], steps: list[str], said: Said, reference: str, name: str) -> dict:
    """Up to the last step that is labeled; a neutral step counts as good."""
    ratings = [1 if rating == 0 else rating for rating in said.ratings]
    while ratings and ratings[-1] is None:
        ratings.pop()
    if not ratings:
        raise BadRow("no step is labeled")
    return mathshepherd.write(problem_of(messages), steps[: len(ratings)], said._replace(ratings=ratings))


def as_stepwise(messages: list[dict], steps: list[str], said: Said, reference: str, name: str) -> dict:
    """TRL's row: the scores where there are any, else good or bad; a neutral step counts as good."""
    labels = said.scores or [rating if rating is None else rating >= 0 for rating in said.ratings]
    return {"prompt": messages, "completions": steps, "labels": labels + [None] * (len(steps) - len(labels))}


def problem_of(messages: list[dict]) -> str:
    return "\n\n".join(message["content"] for message in messages)


FORMATS = {
    "prm800k": ("PRM800K", as_prm800k),
    "math_shepherd": ("Math-Shepherd", as_math_shepherd),
    "stepwise": ("TRL stepwise", as_stepwise),
}


def converted(rows: Iterator[dict], format: str) -> Iterator[str]:
    """Frozen stepwise rows as lines of another format; a share of one half or more is good."""
    write = FORMATS[format][1]
    for row in rows:
        ratings = [None if label is None else 1 if label >= 0.5 else -1 for label in row["labels"]]
        while ratings and ratings[-1] is None:
            ratings.pop()
        try:
            yield json_line(write(row["prompt"], row["completions"], Said(ratings), "", ""))
        except BadRow:
            continue
