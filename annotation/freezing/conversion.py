"""Turn what labelers said into the rows TRL trains on. Plain data in, plain data out."""

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from functools import cache
from itertools import combinations
from typing import Any, NamedTuple

DISAGREEMENT = {
    "keep": "keep every labeler's pairs",
    "majority": "keep each pair once, the way most labelers see it",
    "unanimous": "keep each pair once, and only where nobody says the opposite",
}


class Ranked(NamedTuple):
    """A completion's place in one ranking: rank 1 is best, equal ranks are a tie; rating is 1 to 7 or None."""

    completion: Hashable
    rank: int
    rating: int | None = None


class Pair(NamedTuple):
    """What one ranking says of two completions; margin is between 0 and 1."""

    ranking: int
    chosen: Hashable
    rejected: Hashable
    margin: float = 0.0


def margin_between(chosen: Ranked, rejected: Ranked, spread: int) -> float:
    """How much better, from 0 to 1: the ratings' difference where both are rated, else the ranks' distance.

    >>> margin_between(Ranked("a", 1, 7), Ranked("b", 2, 4), spread=3)
    0.5
    >>> margin_between(Ranked("a", 1), Ranked("b", 2), spread=3)
    0.3333
    """
    if chosen.rating is not None and rejected.rating is not None:
        return round(max(0, chosen.rating - rejected.rating) / 6, 4)
    return share(rejected.rank - chosen.rank, spread)


@cache
def share(part: int, whole: int) -> float:
    return round(part / whole, 4)


def pairs_from_ranking(ranking: int, ranked: Iterable[Ranked]) -> Iterator[Pair]:
    """Yield one pair for every two completions the labeler told apart; a tie teaches nothing.

    >>> [pair[1:] for pair in pairs_from_ranking(7, [Ranked("Cusco", 2), Ranked("Lima", 1), Ranked("Puno", 2)])]
    [('Lima', 'Cusco', 1.0), ('Lima', 'Puno', 1.0)]
    """
    best_first = sorted(ranked, key=lambda item: item.rank)
    spread = best_first[-1].rank - best_first[0].rank if best_first else 0
    for high, low in combinations(best_first, 2):
        if high.rank != low.rank:
            yield Pair(ranking, high.completion, low.completion, margin_between(high, low, spread))


def settle(pairs: Sequence[Pair], disagreement: str = "keep") -> list[Pair]:
    """What remains of one prompt's pairs when its labelers disagree; `disagreement` is a key of DISAGREEMENT.

    >>> three = [Pair(1, "a", "b"), Pair(2, "a", "b"), Pair(3, "b", "a"), Pair(3, "a", "c")]
    >>> [pair[:3] for pair in settle(three, "majority")]
    [(1, 'a', 'b'), (3, 'a', 'c')]
    >>> [pair[:3] for pair in settle(three, "unanimous")]
    [(3, 'a', 'c')]
    """
    if disagreement == "keep":
        return list(pairs)
    votes = Counter((pair.chosen, pair.rejected) for pair in pairs)
    first = {}
    for pair in pairs:
        against = votes[pair.rejected, pair.chosen]
        if not against or (disagreement == "majority" and votes[pair.chosen, pair.rejected] > against):
            first.setdefault((pair.chosen, pair.rejected), pair)
    return list(first.values())


def contradictions(pairs: Sequence[Pair]) -> list[tuple[int, int]]:
    """Rankings of one prompt that say the opposite of each other, once for every pair they differ on.

    >>> contradictions([Pair(1, "a", "b"), Pair(2, "b", "a"), Pair(3, "a", "b")])
    [(1, 2)]
    """
    said: dict[Any, int] = {}
    for pair in pairs:
        said.setdefault((pair.chosen, pair.rejected), pair.ranking)
    return [(said[a, b], said[b, a]) for a, b in said if (b, a) in said and said[a, b] < said[b, a]]


def row(messages: list[dict], chosen: str, rejected: str, *, ranking: int, prompt_id: int, margin: float | None = None):
    """A preference row as TRL's DPOTrainer and RewardTrainer take it, plus the two columns it can be traced by.

    >>> row([{"role": "user", "content": "Capital of Peru?"}], "Lima.", "Cusco.", ranking=7, prompt_id=3)["chosen"]
    [{'role': 'assistant', 'content': 'Lima.'}]
    """
    sides = {"chosen": [assistant(chosen)], "rejected": [assistant(rejected)]}
    extra = {} if margin is None else {"margin": margin}
    return {"prompt": messages, **sides, **extra, "ranking": ranking, "prompt_id": prompt_id}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}
