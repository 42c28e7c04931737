"""Ask the policy for more steps and the scorer for their scores, within a budget of tokens, and grow the tree."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

from training.search_tree import Tree
from training.search_votes import AGGREGATES, PICKS, aggregate

ENDS = {"step": "open", "finished": "finished", "cut": "cut"}  # how a move ends → state of its node


class Ask(NamedTuple):
    """Continue `steps` in `count` ways, by one step or, `whole`, to the end; way i draws its chance from `seed + i`."""

    steps: tuple[str, ...]
    count: int
    max_tokens: int  # of each way; the policy keeps to it
    seed: int
    whole: bool = False
    greedy: bool = False


class Move(NamedTuple):
    """One way on: its steps (one, unless `whole` was asked), tokens made for it, and its end: step, finished or cut."""

    steps: Sequence[str]
    tokens: int
    end: str = "step"


class Scored(NamedTuple):
    """A score a step (None: none), and the tokens read for them."""

    scores: Sequence[float | None]
    tokens: int = 0


Policy = Callable[[Sequence[Ask]], Sequence[Sequence[Move]]]  # moves for every ask, all asks at once
Scorer = Callable[[Sequence[Sequence[str]]], Sequence[Scored]]  # the same for traces, lists of steps


@dataclass(frozen=True)
class Settings:
    """The knobs of every strategy; `n` means the same work in each, so that curves along n compare."""

    n: int = 16  # solutions sampled; or ways on a level, over all paths kept
    width: int | None = None  # paths kept (beams, or subtrees); None: about √n
    depth: int = 40  # steps of a solution at most
    ahead: int = 1  # lookahead: steps rolled on before a step is judged
    aggregate: str = "min"
    pick: str | None = None  # how the answer is chosen from finished paths; None: as the strategy is known for
    max_tokens: int = 256  # of one solution
    step_tokens: int = 128  # of one step
    budget: int | None = None  # policy tokens of the whole search; never exceeded
    seed: int = 0
    separator: str = "\n\n"  # stands between steps where they are read as one text

    def __post_init__(self):
        for name in ("n", "depth", "max_tokens", "step_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 1 or more.")
        if self.width is not None and not 1 <= self.width <= self.n:
            raise ValueError(f"width is {self.width}; it must be from 1 to n, which is {self.n}.")
        if self.budget is not None and self.budget < 1:
            raise ValueError(f"budget is {self.budget} tokens; it must be 1 or more, or none.")
        if self.ahead < 0:
            raise ValueError(f"ahead is {self.ahead}; it must be 0 or more.")
        if self.aggregate not in AGGREGATES:
            raise ValueError(f"aggregate is {self.aggregate!r}; it must be one of {', '.join(AGGREGATES)}.")
        if self.pick is not None and self.pick not in PICKS:
            raise ValueError(f"pick is {self.pick!r}; it must be one of {', '.join(PICKS)}.")

    @property
    def kept(self) -> int:
        """
        >>> [Settings(n=n).kept for n in (1, 2, 4, 8, 16)], Settings(n=16, width=8).kept
        ([1, 1, 2, 2, 4], 8)
        """
        return self.width or int(self.n**0.5)

    @property
    def ways(self) -> int:
        """Ways on from each path kept."""
        return self.n // self.kept


@dataclass
class Draw:
    """A search under way: its tree, what it has spent, and whether it ran into a limit."""

    policy: Policy
    scorer: Scorer | None
    settings: Settings
    watch: Callable[["Draw"], None] = lambda draw: None  # hears of every call; what it raises ends the search
    tree: Tree = field(default_factory=Tree)
    policy_tokens: int = 0
    scorer_tokens: int = 0
    stopped: str = ""
    drawn: Counter = field(default_factory=Counter)  # ways already drawn from a state: no two share their chance

    def solutions(self, n: int) -> list[int]:
        """Leaves of n solutions, each sampled to its end by itself."""
        return self.grow([0], n, whole=True)[0]

    def grow(self, parents: Sequence[int], count: int, whole: bool = False, greedy: bool = False) -> list[list[int]]:
        """New leaves under each parent, `count` ways each; equal steps are one leaf. Stops at the budget."""
        groups: list[list[int]] = [[] for _ in parents]
        wanted = [place for place in range(len(parents)) for _ in range(count)]
        while wanted:
            limits = self.afford([self.limit(parents[place], whole) for place in wanted])
            if not limits:
                self.stopped = "budget"
                break
            asked, wanted = list(zip(wanted, limits, strict=False)), wanted[len(limits) :]
            turns = [(place, limit, len(list(turn))) for (place, limit), turn in groupby(asked)]
            asks = [self.ask(parents[place], limit, ways, whole, greedy) for place, limit, ways in turns]
            for (place, limit, _), moves in zip(turns, self.policy(asks), strict=True):
                if limit < self.limit(parents[place], whole) and any(move.end == "cut" for move in moves):
                    self.stopped = "budget"
                for move in moves:
                    self.attach(parents[place], move, groups[place], whole)
            if not greedy:  # a way rolled on to look ahead decides nothing yet
                self.tree.mark((parents[place] for place, _, _ in turns if groups[place]), "kept")
            self.watch(self)
        return groups

    def limit(self, parent: int, whole: bool) -> int:
        """Tokens that one way on from here may take."""
        left = self.settings.max_tokens - self.tree.tokens(parent)
        return left if whole else min(left, self.settings.step_tokens)

    def afford(self, limits: Sequence[int]) -> list[int]:
        """As many of these ways as the budget pays for even if each takes all it may; the last tokens go to one.

        >>> Draw(None, None, Settings(budget=25)).afford([10, 10, 10])
        [10, 10]
        >>> Draw(None, None, Settings(budget=5)).afford([10, 10])
        [5]
        """
        if self.settings.budget is None:
            return list(limits)
        room, paid = self.settings.budget - self.policy_tokens, []
        for limit in limits:
            if sum(paid) + limit > room:
                break
            paid.append(limit)
        return paid or ([room] if room > 0 else [])

    def ask(self, parent: int, limit: int, count: int, whole: bool, greedy: bool) -> Ask:
        steps = self.tree.steps(parent)
        seed = self.settings.seed + self.drawn[steps]
        self.drawn[steps] += count
        return Ask(steps, count, limit, seed, whole, greedy)

    def attach(self, parent: int, move: Move, group: list[int], whole: bool) -> None:
        self.policy_tokens += move.tokens
        steps, state = [step for step in move.steps if step], ENDS[move.end]
        if state == "open" and (whole or not steps or move.tokens >= self.limit(parent, whole=True)):
            state = "cut"
        for step in steps[:-1]:
            parent = self.tree.add(parent, step, "kept")
        last = steps[-1] if steps else ""
        if not whole:
            alike = (node for node in map(self.tree.nodes.__getitem__, group) if node.step == last)
            if node := next((node for node in alike if node.state == state), None):
                node.times += 1
                return
        group.append(self.tree.add(parent, last, state, move.tokens))

    def rate(self, leaves: Sequence[int]) -> None:
        """Score the paths that end here, step by step; equal paths are read once."""
        traces = list(dict.fromkeys(filter(None, map(self.tree.steps, leaves))))
        if not traces or self.scorer is None:
            return
        scored = dict(zip(traces, self.scorer(traces), strict=True))
        self.scorer_tokens += sum(one.tokens for one in scored.values())
        for leaf in leaves:
            if found := scored.get(self.tree.steps(leaf)):
                self.note(leaf, found.scores)
        self.watch(self)

    def note(self, leaf: int, scores: Sequence[float | None]) -> None:
        steps = [id for id in self.tree.path(leaf) if self.tree.nodes[id].step]
        for id, score in zip(steps, scores, strict=False):
            if score is not None:
                self.tree.nodes[id].score = score
        self.tree.nodes[leaf].value = aggregate(scores, self.settings.aggregate)

    def look_ahead(self, leaves: Sequence[int]) -> None:
        """Judge each leaf by where it leads: roll it on `ahead` steps and take that path's value."""
        ends = {leaf: leaf for leaf in leaves}
        for _ in range(self.settings.ahead):
            going = [leaf for leaf, end in ends.items() if self.tree.nodes[end].state == "open"]
            further = self.grow([ends[leaf] for leaf in going], 1, greedy=True)
            ends |= {leaf: group[0] for leaf, group in zip(going, further, strict=True) if group}
        self.rate(list(ends.values()))
        for leaf, end in ends.items():
            self.tree.nodes[leaf].value = self.tree.nodes[end].value
            self.tree.mark((id for id in self.tree.path(end) if id > leaf), "looked")
