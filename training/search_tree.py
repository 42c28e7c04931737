"""What a search grew: steps as nodes, the path it chose, answers with their votes, tokens spent. Plain data."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from math import prod
from typing import Any

STATES = {
    "open": "not continued",
    "kept": "continued",
    "pruned": "given up for better ones",
    "finished": "ended by itself",
    "cut": "ended by a limit, before its own end",
    "looked": "only looked at, to judge the step before",
}


@dataclass
class Node:
    """One step of one or more solutions; node 0 is the problem itself.

    `score` is the scorer's of this step, `value` what the search compares: the scores of the whole path, aggregated.
    `tokens` are those of this step; a solution sampled whole carries all of its tokens on its last step.
    """

    id: int
    parent: int | None
    step: str
    state: str = "open"
    score: float | None = None
    value: float | None = None
    tokens: int = 0
    answer: str | None = None  # of a finished path, on its last step
    times: int = 1  # ways that wrote this very step after its parent


@dataclass
class Vote:
    """One answer: how many finished paths reach it, its weight, and their last nodes.

    Its weight is the sum of the paths' values, each as often as N free samples would have gone that way: of solutions
    sampled whole once each, of paths grown step by step by their share of what the policy wrote.
    """

    answer: str
    votes: int
    weight: float
    leaves: list[int]


@dataclass
class Tree:
    """Nodes in the order they were made, so that a parent stands before its children.

    >>> tree = Tree()
    >>> first = tree.add(0, "2 + 2 = 4")
    >>> tree.steps(tree.add(first, "The answer is 4."))
    ('2 + 2 = 4', 'The answer is 4.')
    """

    nodes: list[Node] = field(default_factory=lambda: [Node(0, None, "", "kept")])

    def add(self, parent: int, step: str, state: str = "open", tokens: int = 0) -> int:
        self.nodes.append(Node(len(self.nodes), parent, step, state, tokens=tokens))
        return len(self.nodes) - 1

    def path(self, leaf: int) -> list[int]:
        """Ids from the first step to `leaf`; the problem itself is left out."""
        ids = []
        while leaf:
            ids.append(leaf)
            leaf = self.nodes[leaf].parent
        return ids[::-1]

    def steps(self, leaf: int) -> tuple[str, ...]:
        """Texts of the path; an end without text is no step."""
        return tuple(step for id in self.path(leaf) if (step := self.nodes[id].step))

    def tokens(self, leaf: int) -> int:
        return sum(self.nodes[id].tokens for id in self.path(leaf))

    def share(self, leaf: int, ways: Mapping[int, int]) -> float:
        """How much of what the policy wrote went this way: at each step, of the ways on from the one before.

        >>> tree = Tree([Node(0, None, ""), Node(1, 0, "a", times=3), Node(2, 0, "b")])
        >>> tree.share(1, tree.ways()), tree.share(2, tree.ways())
        (0.75, 0.25)
        """
        path = [self.nodes[id] for id in self.path(leaf)]
        return prod(node.times / ways[node.parent] for node in path)

    def ways(self) -> Mapping[int, int]:
        """Ways drawn from each step; those that only looked ahead do not count."""
        ways: Counter = Counter()
        for node in self.nodes[1:]:
            ways[node.parent] += node.times * (node.state != "looked")
        return ways

    def mark(self, ids: Iterable[int], state: str) -> None:
        for id in ids:
            self.nodes[id].state = state


@dataclass
class Result:
    """How a search ended. `stopped` is "" when it came to its own end, else the limit it ran into: budget or depth."""

    strategy: str
    settings: dict[str, Any]
    nodes: list[Node]
    chosen: list[int]  # ids of the chosen path, from its first step; empty when nothing was written
    answer: str | None
    answers: list[Vote]  # the chosen one first
    policy_tokens: int
    scorer_tokens: int
    stopped: str = ""
    right: bool | None = None  # whether the chosen solution reaches the reference, where there is one

    @property
    def steps(self) -> list[str]:
        return [step for id in self.chosen if (step := self.nodes[id].step)]

    @property
    def finished(self) -> bool:
        """Whether the chosen path came to its own end."""
        return bool(self.chosen) and self.nodes[self.chosen[-1]].state == "finished"

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Result":
        """
        >>> made = Result("majority", {}, [Node(0, None, "")], [], None, [Vote("4", 2, 0.0, [])], 7, 0)
        >>> Result.from_json(made.as_json()) == made
        True
        """
        nodes, answers = [Node(**n) for n in data["nodes"]], [Vote(**v) for v in data["answers"]]
        return cls(**(data | {"nodes": nodes, "answers": answers}))
