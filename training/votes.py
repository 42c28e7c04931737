"""What people said of a run's model against its base: on held-out prompts, and apart from them on trained ones."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from annotation.models import Dataset, RankedCompletion, Ranking
from annotation.store import store
from training.evaluation import Share, win_rate
from training.lineage import job_of
from training.models import TrainingJob

NEWEST = 400  # rankings counted
DRAWS = 500  # of the bootstrap
Scores = list[tuple[int, int]]  # of a prompt: (ours, its base's), higher is better


@dataclass(frozen=True)
class Votes:
    """Win rates over the base, by prompt; None without any vote of the kind."""

    held_out: Share | None = None
    trained: Share | None = None  # on prompts that the run, or one behind its base, was trained on
    untold: Share | None = None  # on prompts of which that is not known, since
    gone: str = ""  # the rows of this dataset cannot be read


def against_base(run: TrainingJob, user: Any) -> Votes:
    """Its model's win rates in rankings that this person may see."""
    scores = scores_by_prompt(run, user)
    if not scores:
        return Votes()
    learned, gone = set(), ""
    for dataset in learned_from(run):
        try:
            learned |= scores.keys() & train_prompts(dataset.folder, dataset.fingerprint)
        except (OSError, ValueError):
            gone = str(dataset)
    trained = [scores[prompt] for prompt in scores.keys() & learned]
    others = [scores[prompt] for prompt in scores.keys() - learned]
    if gone:
        return Votes(trained=rate(trained), untold=rate(others), gone=gone)
    return Votes(held_out=rate(others), trained=rate(trained))


def rate(scores: Sequence[Scores]) -> Share | None:
    return win_rate(scores, draws=DRAWS) if scores else None


def scores_by_prompt(run: TrainingJob, user: Any) -> Mapping[int, Scores]:
    """Answers of both side by side, by the mark of their prompt.

    Votes on the comparison page are rankings too. Answers that a search found are the search's, and are left out.
    """
    pair = (run.model_id, run.base_model_id)
    ranked = RankedCompletion.objects.filter(completion__generation__model__in=pair)
    ranked = ranked.exclude(completion__generation__sampling__has_key="strategy")
    both = Ranking.objects.visible_to(user).filter(labeler__isnull=False)
    for model in pair:
        both = both.filter(pk__in=ranked.filter(completion__generation__model=model).values("ranking"))
    newest = list(both.order_by("-pk").values_list("pk", flat=True)[:NEWEST])
    rows = ranked.filter(ranking__in=newest).values_list(
        "ranking", "ranking__prompt__messages", "completion__generation__model", "rank"
    )
    ranks: dict[tuple[int, int], dict[int, list[int]]] = defaultdict(lambda: {number: [] for number in pair})
    for ranking, messages, number, rank in rows:
        ranks[ranking, mark(messages)][number].append(rank)
    by_prompt: dict[int, Scores] = defaultdict(list)
    for (_, prompt), found in ranks.items():
        by_prompt[prompt] += [(-ours, -theirs) for ours in found[pair[0]] for theirs in found[pair[1]]]
    return by_prompt


def learned_from(run: TrainingJob | None) -> Iterator[Dataset]:
    """The datasets of the run and of those that made the model it started from."""
    while run:
        yield run.dataset
        run = job_of(run.base_model)


@lru_cache(maxsize=8)
def train_prompts(folder: str, fingerprint: str) -> frozenset[int]:
    """Marks of the prompts in a dataset's train split. Raises OSError, ValueError; frozen rows never change."""
    with store().fetch(f"{folder}/train.jsonl").open() as rows:
        return frozenset(mark(json.loads(row)["prompt"]) for row in rows)


def mark(messages: Sequence[Mapping[str, str]]) -> int:
    """A prompt as what is asked: whatever its spaces, and whatever the system message before it.

    >>> asked = [{"role": "user", "content": "Two  and two?"}]
    >>> mark([{"role": "system", "content": "Be brief."}, *asked]) == mark([{**asked[0], "content": "Two and two?\\n"}])
    True
    """
    turns = (turn for turn in messages if turn["role"] != "system")
    return hash(tuple((turn["role"], " ".join(turn["content"].split())) for turn in turns))
