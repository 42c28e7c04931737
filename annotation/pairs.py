"""Read a project's rankings as preference pairs, one prompt at a time, with flat memory."""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from django.db.models import QuerySet

from annotation.conversion import Pair, Ranked, pairs_from_ranking
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
    last, size = 0, CHUNK
    columns = ("pk", "prompt_id", "labeler_id", "source")
    while True:
        chunk = list(rankings.filter(prompt_id__gt=last).order_by("prompt_id", "pk").values_list(*columns)[: size + 1])
        if len(chunk) > size:  # the last prompt may go on: leave it to the next chunk
            whole = [row for row in chunk if row[1] != chunk[-1][1]]
            if not whole:
                size *= 2
                continue
        else:
            whole = chunk
        if not whole:
            return
        yield from labels_of(whole)
        last, size = whole[-1][1], CHUNK


def labels_of(chunk: list[tuple]) -> Iterator[PromptLabels]:
    ids = list({row[1] for row in chunk})
    prompts = {
        pk: PromptLabels(pk, messages, mark, criterion or "")
        for pk, messages, mark, criterion in Prompt.objects.filter(pk__in=ids).values_list(
            "pk", "messages", "fingerprint", "criterion__name"
        )
    }
    for prompt, pk, text in Completion.objects.filter(prompt__in=ids).order_by().values_list("prompt_id", "pk", "text"):
        prompts[prompt].texts[pk] = text
    ranked = defaultdict(list)
    rows = RankedCompletion.objects.filter(ranking__in=[row[0] for row in chunk]).order_by("completion_id")
    for ranking, *place in rows.values_list("ranking_id", "completion_id", "rank", "rating"):
        ranked[ranking].append(Ranked(*place))
    for prompt_id, group in groupby(chunk, key=lambda row: row[1]):
        prompt = prompts[prompt_id]
        for pk, _, labeler, source in group:
            prompt.rankings[pk] = labeler, source
            prompt.pairs.extend(pairs_from_ranking(pk, ranked[pk]))
        yield prompt


def lines(prompt: PromptLabels, pairs: list[Pair], margin: bool) -> list[str]:
    """The pairs as JSON lines: conversion.row, with each text encoded once however many pairs it is in."""
    messages = [{"role": m["role"], "content": m["content"]} for m in prompt.messages]  # jsonb keeps no order of keys
    start = f'{{"prompt": {json.dumps(messages, ensure_ascii=False)}, "chosen": '
    sides = {
        pk: f'[{{"role": "assistant", "content": {json.dumps(prompt.texts[pk], ensure_ascii=False)}}}]'
        for pk in {pk for pair in pairs for pk in pair[1:3]}
    }
    end = f'"prompt_id": {prompt.pk}}}\n'
    return [
        f'{start}{sides[pair.chosen]}, "rejected": {sides[pair.rejected]}, '
        + (f'"margin": {pair.margin}, ' if margin else "")
        + f'"ranking": {pair.ranking}, {end}'
        for pair in pairs
    ]
