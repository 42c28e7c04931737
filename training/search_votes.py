"""From finished paths to one answer: step scores to a value, equal answers to votes, votes to a choice."""

from collections.abc import Callable, Sequence
from math import fsum, prod

from training import answers
from training.math_checking import same_in_mathematics
from training.search_tree import Tree, Vote
from training.verifiers import alike

AGGREGATES: dict[str, Callable[[Sequence[float]], float]] = {
    "min": min,
    "prod": prod,
    "last": lambda scores: scores[-1],
}
PICKS = {
    "best": "the path with the highest value",
    "weighted": "the answer with the highest weight: its paths' values, each as often as it was gone",
    "majority": "the answer with the most paths",
}


def said_answer(text: str) -> str | None:
    """The answer a solution marks, else the last number it names.

    >>> said_answer("So it is $\\\\boxed{12}$."), said_answer("6 and 6 make 12 eggs."), said_answer("I am not sure.")
    ('12', '12', None)
    """
    if marked := answers.final_answer(text):
        return marked
    number = answers.last_number(text)
    return None if number is None else str(number)


def same_answer(one: str, other: str) -> bool:
    """Whether two answers are one value: 0.5 and 1/2 share their votes.

    >>> same_answer("0.5", "1/2"), same_answer("Lima", "lima"), same_answer("7", "8")
    (True, True, False)
    """
    quick = alike(one, other)
    return same_in_mathematics(one, other) if quick is None else quick


def aggregate(scores: Sequence[float | None], how: str) -> float | None:
    """One value for a path from the scores of its steps; steps without a score do not count.

    Math-Shepherd takes the min, PRM800K the prod, an outcome reward model only has a last one.

    >>> aggregate([0.9, 0.5, 0.8], "min"), aggregate([0.5, 0.5], "prod"), aggregate([None, 0.7], "last")
    (0.5, 0.25, 0.7)
    >>> aggregate([None], "min") is None
    True
    """
    known = [score for score in scores if score is not None]
    return AGGREGATES[how](known) if known else None


def value(tree: Tree, leaf: int) -> float:
    """What paths are compared by; one that could not be scored comes last."""
    known = tree.nodes[leaf].value
    return float("-inf") if known is None else known


def best(tree: Tree, leaves: Sequence[int]) -> list[int]:
    """Highest value first; equal ones in the order they were made."""
    return sorted(leaves, key=lambda leaf: (-value(tree, leaf), leaf))


def count(tree: Tree, leaves: Sequence[int], same: Callable[[str, str], bool], n: int) -> list[Vote]:
    """One Vote an answer; answers that are the same (0.5 and 1/2) share it, under the first one's spelling."""
    groups: list[list[int]] = []
    ways = tree.ways()
    for leaf in leaves:
        answer = tree.nodes[leaf].answer
        if answer is None:
            continue
        found = next((group for group in groups if same(tree.nodes[group[0]].answer, answer)), None)
        if found is None:
            groups.append([leaf])
        else:
            found.append(leaf)
    return [
        Vote(
            answer=tree.nodes[group[0]].answer,
            votes=len(group),
            weight=fsum((tree.nodes[leaf].value or 0.0) * tree.share(leaf, ways) * n for leaf in group),
            leaves=best(tree, group),
        )
        for group in groups
    ]


def choose(tree: Tree, leaves: Sequence[int], votes: list[Vote], pick: str) -> tuple[int | None, list[Vote]]:
    """The chosen leaf, and the votes with the chosen answer first. Without any answer: the best leaf there is."""
    ranked = sorted(votes, key=lambda vote: -(vote.votes if pick == "majority" else vote.weight))
    if ranked and pick != "best":
        return ranked[0].leaves[0], ranked
    if not leaves:
        return None, ranked
    leaf = best(tree, leaves)[0]
    return leaf, sorted(ranked, key=lambda vote: leaf not in vote.leaves)
