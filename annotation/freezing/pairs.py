"""Read a project's rankings as preference pairs, one prompt at a time, with flat memory."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from json.encoder import encode_basestring as quoted
from typing import Any

from django.db.models import F, QuerySet

from annotation.bulk import Among
from annotation.freezing.conversion import Pair, Ranked, pairs_from_ranking
from annotation.models import Completion, Project, Prompt, RankedCompletion, Ranking

CHUNK = 2000  # rankings held at a time


@dataclass
class PromptLabels:
    """A prompt, the texts of its completions, and what its labelers said."""

    pk: int
    messages: list[dict]
    fingerprint: str
    criterion: str
    texts: dict[int, str] = field(default_factory=dict)
    rankings: dict[int, tuple[int | None, str]] = field(default_factory=dict)  # id → labeler, source
    pairs: list[Pair] = field(default_factory=list)


def chosen_rankings(project: Project, options: dict[str, Any]) -> QuerySet[Ranking]:
    """The rankings a freeze with these options reads."""
    rankings = Ranking.objects.filter(prompt__project=project)
    if not options.get("keep_bad"):
        rankings = rankings.filter(all_bad=False, bad_prompt=False)
    if not options.get("keep_unsure", True):
        rankings = rankings.filter(unsure=False)
    for name, path in {"sources": "source", "labelers": "labeler", "criteria": "prompt__criterion__name"}.items():
        if options.get(name):
            rankings = rankings.filter(**{f"{path}__in": options[name]})
    return rankings.filter(pk__lte=options["until"]) if options.get("until") else rankings


def prompts_with_pairs(rankings: QuerySet[Ranking]) -> Iterator[PromptLabels]:
    """Every prompt with a ranking, in the order of its id; rankings in the order of theirs."""
    for whole in by_prompt(rankings, ("pk", "prompt_id", "labeler_id", "source")):
        yield from labels_of(whole)


def by_prompt(rows: QuerySet, columns: tuple[str, ...]) -> Iterator[list[tuple]]:
    """All rows, in chunks that end with a whole prompt; the second column is the prompt's id."""
    last, size = 0, CHUNK
    while True:
        chunk = list(rows.filter(prompt_id__gt=last).order_by("prompt_id", "pk").values_list(*columns)[: size + 1])
        if len(chunk) > size:  # the last prompt may go on: leave it to the next chunk
            whole = [row for row in chunk if row[1] != chunk[-1][1]]
            if not whole:
                size *= 2
                continue
        else:
            whole = chunk
        if not whole:
            return
        yield whole
        last, size = whole[-1][1], CHUNK


def labels_of(chunk: list[tuple]) -> Iterator[PromptLabels]:
    ids = list({row[1] for row in chunk})
    found = Prompt.objects.filter(Among(F("pk"), ids)).values_list("pk", "messages", "fingerprint", "criterion__name")
    prompts = {pk: PromptLabels(pk, messages, mark, criterion or "") for pk, messages, mark, criterion in found}
    texts = Completion.objects.filter(Among(F("prompt_id"), ids)).order_by().values_list("prompt_id", "pk", "text")
    for prompt, pk, text in texts:
        prompts[prompt].texts[pk] = text
    ranked = defaultdict(list)
    said = [row[0] for row in chunk]
    places = RankedCompletion.objects.filter(Among(F("ranking_id"), said)).order_by("completion_id")
    for ranking, *place in places.values_list("ranking_id", "completion_id", "rank", "rating"):
        ranked[ranking].append(Ranked._make(place))
    for prompt_id, group in groupby(chunk, key=lambda row: row[1]):
        prompt = prompts[prompt_id]
        for pk, _, labeler, source in group:
            prompt.rankings[pk] = labeler, source
            prompt.pairs.extend(pairs_from_ranking(pk, ranked[pk]))
        yield prompt


def lines(prompt: PromptLabels, pairs: list[Pair], margin: bool) -> list[str]:
    """The pairs as JSON lines: conversion.row, with each text encoded once however many pairs it is in."""
    # Role first, as it always was: jsonb keeps no order of keys, and a fingerprint depends on it.
    messages = [f'{{"role": {quoted(m["role"])}, "content": {quoted(m["content"])}}}' for m in prompt.messages]
    start = f'{{"prompt": [{", ".join(messages)}], "chosen": '
    sides = {pk: f'[{{"role": "assistant", "content": {quoted(text)}}}]' for pk, text in prompt.texts.items()}
    end = f'"prompt_id": {prompt.pk}}}\n'
    return [
        f'{start}{sides[pair.chosen]}, "rejected": {sides[pair.rejected]}, '
        + (f'"margin": {pair.margin}, ' if margin else "")
        + f'"ranking": {pair.ranking}, {end}'
        for pair in pairs
    ]
