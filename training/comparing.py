"""Put one conversation to several models, and turn the vote into a ranking like any other."""

import random
from collections.abc import Mapping, Sequence

from django.db import transaction
from django.utils import timezone

from annotation.models import Completion, Project, Prompt, RankedCompletion, Ranking, fingerprint
from annotation.progress import tally
from training.models import Answer, Comparison, Generation, ModelVersion, Strategy

COLUMNS = range(2, 5)  # how many models are compared at once
LETTERS = "ABCD"


class NotComparable(ValueError):
    """What was asked for cannot be compared or voted on; the message says what to change."""


def start(
    user,
    messages: list[dict],
    models: Sequence[ModelVersion | Strategy],
    sampling: dict,
    blind: bool = True,
    project: Project | None = None,
    scorer: ModelVersion | None = None,
) -> Comparison:
    """A comparison with one empty answer a model, shuffled when blind. Raises NotComparable."""
    if len(models) not in COLUMNS:
        raise NotComparable("Choose two to four models.")
    if not messages or messages[-1]["role"] != "user" or not messages[-1]["content"].strip():
        raise NotComparable("Write a message for the models to answer.")
    columns = list(models)
    if blind:
        random.shuffle(columns)
    with transaction.atomic():
        comparison = Comparison.objects.create(
            created_by=user, messages=messages, sampling=sampling, blind=blind, project=project, scorer=scorer
        )
        Answer.objects.bulk_create(
            Answer(comparison=comparison, column=column, **asked(entry)) for column, entry in enumerate(columns)
        )
    return comparison


def asked(entry: ModelVersion | Strategy) -> dict:
    """Who answers: a model alone, or searched with."""
    return {"model": entry.policy, "strategy": entry} if isinstance(entry, Strategy) else {"model": entry}


def entries(comparison: Comparison) -> list[ModelVersion | Strategy]:
    """Whom a comparison asked, by column."""
    answers = comparison.answers.select_related("model", "strategy__policy")
    return [answer.strategy or answer.model for answer in answers]


def follow_up(comparison: Comparison, column: int, text: str) -> Comparison:
    """The next turn: the conversation goes on from the answer in `column`, for the same models."""
    answer = comparison.answers.filter(column=column).first()
    if answer is None or not answer.text:
        raise NotComparable("Choose an answer to go on from.")
    messages = [
        *comparison.messages,
        {"role": "assistant", "content": answer.text},
        {"role": "user", "content": text.replace("\0", "").strip()},
    ]
    fields = {"blind": comparison.blind, "project": comparison.project, "scorer": comparison.scorer}
    return start(comparison.created_by, messages, entries(comparison), comparison.sampling, **fields)


def ranks_of(choice: str, count: int, given: Mapping[int, int]) -> tuple[dict[int, int], bool]:
    """Ranks by column, and whether all are bad, from a button ("A", "tie", "bad") or from full ranks.

    >>> ranks_of("B", 2, {})
    ({0: 2, 1: 1}, False)
    >>> ranks_of("tie", 3, {})
    ({0: 1, 1: 1, 2: 1}, False)
    >>> ranks_of("rank", 2, {0: 3, 1: 1})
    ({0: 2, 1: 1}, False)
    """
    columns = range(count)
    if choice in ("tie", "bad"):
        return dict.fromkeys(columns, 1), choice == "bad"
    if choice in LETTERS[:count]:
        best = LETTERS.index(choice)
        return {column: 1 if column == best else 2 for column in columns}, False
    if choice != "rank" or set(given) != set(columns) or min(given.values()) < 1:
        raise NotComparable("Give every answer a rank, 1 for the best.")
    dense = {rank: place for place, rank in enumerate(sorted(set(given.values())), 1)}
    return {column: dense[given[column]] for column in columns}, False


@transaction.atomic
def vote(comparison: Comparison, choice: str, project: Project, ranks: Mapping[int, int] | None = None) -> Ranking:
    """Store the vote as a Ranking of a new prompt in `project`; a second vote returns the first."""
    comparison = Comparison.objects.select_for_update(of=("self",)).get(pk=comparison.pk)
    if comparison.ranking_id:
        return comparison.ranking
    answers = list(comparison.answers.select_related("model", "strategy", "search"))
    if project.kind != "ranking":
        raise NotComparable(f"A vote is a ranking, and {project} asks for steps: choose a project that ranks.")
    if any(not answer.text for answer in answers):
        raise NotComparable("An answer is missing. Wait for it or retry it, then vote.")
    by_column, bad = ranks_of(choice, len(answers), ranks or {})
    prompt = prompt_for(comparison, project)
    placed = place(prompt, answers, by_column)
    ranking = Ranking.objects.create(prompt=prompt, labeler=comparison.created_by, source="comparison", all_bad=bad)
    RankedCompletion.objects.bulk_create(
        RankedCompletion(ranking=ranking, completion=completion, rank=rank, shown=shown)
        for shown, (completion, rank) in enumerate(placed.items(), 1)
    )
    tally(project.pk, comparison.created_by, labels=1, votes=1)
    Comparison.objects.filter(pk=comparison.pk).update(ranking=ranking, project=project)
    return ranking


def prompt_for(comparison: Comparison, project: Project) -> Prompt:
    """A prompt of its own for this vote: nobody else is asked to rank these answers, so no count wants labels of it."""
    return Prompt.objects.create(
        project=project,
        messages=comparison.messages,
        text=comparison.messages[-1]["content"],
        origin="comparison",
        fingerprint=fingerprint(["comparison", comparison.pk, comparison.messages]),
        labels_wanted=1,
        labels_given=1,
        open_slots=0,
    )


def place(prompt: Prompt, answers: Sequence[Answer], ranks: Mapping[int, int]) -> dict[Completion, int]:
    """Completions with their ranks; equal answers are one completion and must share a rank."""
    placed: dict[Completion, int] = {}
    for answer in answers:
        completion, new = Completion.objects.get_or_create(
            prompt=prompt,
            fingerprint=fingerprint(answer.text),
            defaults={"text": answer.text, "source": answer.author},
        )
        if not new and placed[completion] != ranks[answer.column]:
            raise NotComparable("Two of these answers are the same text: give them the same rank.")
        placed[completion] = ranks[answer.column]
        if new:
            Generation.objects.create(completion=completion, model=answer.model, sampling=sampling_of(answer))
            Answer.objects.filter(pk=answer.pk).update(completion=completion)
    if len(placed) < 2:
        raise NotComparable("The answers are the same text, so there is nothing to compare. Retry with another seed.")
    return placed


def sampling_of(answer: Answer) -> dict:
    """How an answer came to be: sampled as the comparison says, or searched."""
    if answer.search is None:
        return answer.comparison.sampling
    return answer.search.settings | {"strategy": answer.search.strategy, "search": answer.search_id}


@transaction.atomic
def take_back(comparison: Comparison) -> None:
    """Undo the vote: its ranking and its prompt go, the answers stay; a frozen dataset keeps its copy."""
    ranking = comparison.ranking
    if ranking is None:
        return
    prompt = ranking.prompt
    day = timezone.localdate(ranking.created)
    tally(prompt.project_id, ranking.labeler, day=day, labels=-1, votes=-1)
    Comparison.objects.filter(pk=comparison.pk).update(ranking=None)
    ranking.delete()
    prompt.delete()
