"""Read a project's traces and what is said of their steps, by whom: for freezing, exporting and comparing sources."""

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from django.db.models import Count, F, Q, QuerySet, TextField
from django.db.models.functions import Cast

from annotation.bulk import Among
from annotation.models import Completion, Project, Prompt, StepLabels, fingerprint
from annotation.steps.values import Voice

PEOPLE = "people"
LABEL = ("pk", "prompt_id", "kind", "source", "labeler__username", "labeler_id")
SAID = ("ratings", "scores", "flagged", "rewrites", "alternatives")


class Solved(NamedTuple):
    """A trace of the project."""

    prompt: int
    messages: list[dict]
    problem: str
    criterion: str
    reference: str
    steps: list[str]
    text: str
    metadata: dict


def chosen_labels(project: Project, options: dict[str, Any]) -> QuerySet[StepLabels]:
    """The labels a freeze with these options reads."""
    chosen = Q()
    for entry in options["sources"]:
        chosen |= which(entry)
    labels = StepLabels.objects.filter(chosen, prompt__project=project)
    if not options.get("keep_bad"):
        labels = labels.filter(bad_problem="")
    return labels.filter(prompt__criterion__name__in=options["criteria"]) if options.get("criteria") else labels


def which(entry: str) -> Q:
    """Labels an entry of `sources` stands for: `people`, all of a kind (`import`), one source (`import:a.jsonl`); of a
    file that names its labelers, all of them (`import:a.jsonl`) or one (`import:a.jsonl:eve`)."""
    if entry == PEOPLE:
        return Q(kind__in=StepLabels.PEOPLE)
    kind, colon, source = entry.partition(":")
    said = Q(kind=kind, labeler=None)
    return said & (Q(source=source) | Q(source__startswith=f"{source}:")) if colon else said


def belongs(entry: str, kind: str, voice: Voice) -> bool:
    if entry == PEOPLE:
        return voice.labeler is not None
    return voice.labeler is None and (entry in (kind, voice.name) or voice.name.startswith(f"{entry}:"))


def has_a_say(voice: Voice) -> bool:
    said = (*voice.ratings, *(voice.scores or []))
    return any(value is not None for value in said) or bool(voice.rewrites or voice.alternatives)


def sources_of(project: Project) -> list[tuple[str, int]]:
    """Whose labels the project has, as entries of `sources`, with how many traces each labeled; people first."""
    labels = StepLabels.objects.filter(prompt__project=project).order_by()
    people = labels.filter(kind__in=StepLabels.PEOPLE).values("prompt").distinct().count()
    rows = labels.filter(labeler=None).values_list("kind", "source").annotate(n=Count("prompt"))
    counts: dict[str, int] = {}
    for kind, source, count in sorted(rows):
        name = f"{kind}:{source.partition(':')[0] if kind == 'import' else source}"
        counts[name] = counts.get(name, 0) + count
    return [(PEOPLE, people)] * bool(people) + list(counts.items())


def digest(rows: QuerySet, columns: Sequence[str], json: Sequence[str]) -> dict[str, Any]:
    """sha256 of columns of all rows, JSON as the database writes it."""
    casts = {f"{name}_text": Cast(name, TextField()) for name in json}
    names = [f"{name}_text" if name in json else name for name in columns]
    found, count = hashlib.sha256(), 0
    for row in rows.annotate(**casts).values_list("pk", *names).iterator(chunk_size=2000):
        found.update(repr(row).encode(errors="surrogatepass"))
        count += 1
    return {"labels_read": count, "state": found.hexdigest()}


def traces_of(prompts: Sequence[int]) -> dict[int, Solved]:
    """The traces of prompts, in the order of their ids."""
    ids = set(prompts)
    answers = Completion.objects.filter(Among(F("prompt_id"), ids), steps__isnull=False).order_by("prompt_id", "pk")
    found: dict[int, tuple] = {}
    for prompt, *answer in answers.values_list("prompt_id", "steps", "text", "metadata"):
        found.setdefault(prompt, answer)
    columns = ("pk", "messages", "problem", "criterion__name", "reference")
    about = {pk: rest for pk, *rest in Prompt.objects.filter(Among(F("pk"), ids)).values_list(*columns)}
    return {pk: solved(pk, about[pk], answer) for pk, answer in found.items()}


def solved(pk: int, about: list, answer: list) -> Solved:
    messages, problem, criterion, reference = about
    return Solved(pk, messages, problem or fingerprint(messages), criterion or "", reference, *answer)


def voice_of(row: tuple) -> Voice:
    pk, _, kind, source, username, labeler, ratings, scores, flagged, rewrites, alternatives = row
    return Voice(pk, username or f"{kind}:{source}", ratings, scores, flagged, rewrites, alternatives, labeler)
