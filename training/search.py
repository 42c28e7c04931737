"""Search at test time: sample or grow solutions with any policy, judge them with any scorer, choose an answer.

Majority vote is self-consistency (arXiv 2203.11171); weighted best-of-N sums a verifier's scores over equal answers
(2206.02336); beam search over steps and lookahead are those of Snell et al. (2408.03314), diverse verifier tree search
(DVTS) that of Beeching et al. (2024). Everything here is plain data; models are asked through two callables.
"""

from collections.abc import Callable
from dataclasses import asdict
from typing import NamedTuple

from training.search_draw import Draw, Policy, Scorer, Settings
from training.search_tree import Result
from training.search_votes import best, choose, count, said_answer, same_answer

DEFAULTS = Settings()


def sample(draw: Draw) -> list[int]:
    """n solutions, each by itself. arXiv 2203.11171 votes over them."""
    leaves = draw.solutions(draw.settings.n)
    draw.rate(leaves)
    return leaves


def beam(draw: Draw, judge: Callable[[Draw, list[int]], None] = Draw.rate) -> list[int]:
    """n ways on a level; the best `kept` paths go on. One that has finished holds its place while it is among them."""
    held, live = [], [0]
    for _ in range(draw.settings.depth):
        fresh = [leaf for group in draw.grow(live, max(1, draw.settings.n // len(live))) for leaf in group]
        judge(draw, fresh)
        held, live = keep(draw, held + fresh, draw.settings.kept)
        if not live or draw.stopped:
            return held + live
    draw.stopped = "depth"
    return held + live


def keep(draw: Draw, leaves: list[int], most: int) -> tuple[list[int], list[int]]:
    """The best paths: those that have finished, and those that go on. The rest are pruned; what was cut is no rival."""

    def state(leaf: int) -> str:
        return draw.tree.nodes[leaf].state

    ranked = [leaf for leaf in best(draw.tree, leaves) if state(leaf) != "cut"]
    draw.tree.mark((leaf for leaf in ranked[most:] if state(leaf) == "open"), "pruned")
    kept = ranked[:most]
    return [leaf for leaf in kept if state(leaf) == "finished"], [leaf for leaf in kept if state(leaf) == "open"]


def dvts(draw: Draw) -> list[int]:
    """As many subtrees as paths are kept, each followed greedily along its best step, so that they stay diverse."""
    ended, live = [], [0] * draw.settings.kept
    for _ in range(draw.settings.depth):
        groups = draw.grow(live, draw.settings.ways)
        draw.rate([leaf for group in groups for leaf in group])
        going = []
        for group in groups:
            done, on = keep(draw, group, 1)
            ended, going = ended + done, going + on
        live = going
        if not live or draw.stopped:
            return ended + live
    draw.stopped = "depth"
    return ended + live


def lookahead(draw: Draw) -> list[int]:
    """Beam search that judges a step by where it leads some steps on."""
    return beam(draw, Draw.look_ahead)


class Strategy(NamedTuple):
    """How a search grows its solutions (leaves out), how it picks among them, whether it can do without a scorer."""

    grow: Callable[[Draw], list[int]]
    pick: str
    name: str
    needs_scorer: bool = True


STRATEGIES = {
    "majority": Strategy(sample, "majority", "majority vote", needs_scorer=False),
    "best_of_n": Strategy(sample, "best", "best of N"),
    "weighted": Strategy(sample, "weighted", "weighted best of N"),
    "beam": Strategy(beam, "weighted", "beam search"),
    "dvts": Strategy(dvts, "weighted", "diverse verifier tree search"),
    "lookahead": Strategy(lookahead, "weighted", "lookahead search"),
}


def search(
    strategy: str,
    policy: Policy,
    scorer: Scorer | None = None,
    settings: Settings = DEFAULTS,
    extract: Callable[[str], str | None] = said_answer,
    same: Callable[[str, str], bool] = same_answer,
    watch: Callable[[Draw], None] = lambda draw: None,
) -> Result:
    """Search one problem; the same seed, policy and scorer give the same result.

    `extract` finds the answer in a finished solution's text (None: it has none and does not vote), `same` says whether
    two answers are one. `watch` hears of every call; what it raises ends the search. Raises ValueError for an unknown
    strategy, and for one that needs a scorer and has none.

    >>> from training.search_draw import Move, Scored
    >>> policy = lambda asks: [[Move(["2+2=5" if i else "2+2=4"], 5, "finished") for i in range(a.count)] for a in asks]
    >>> scorer = lambda traces: [Scored([float(trace[-1] == "2+2=4")]) for trace in traces]
    >>> [search(name, policy, scorer, Settings(n=3)).answer for name in ("majority", "best_of_n")]
    ['5', '4']
    """
    way = known(strategy)
    if way.needs_scorer and scorer is None:
        raise ValueError(f"{way.name} needs a scorer: a process or outcome reward model. Majority vote does without.")
    draw = Draw(policy, scorer, settings, watch)
    leaves = way.grow(draw)
    return conclude(strategy, draw, leaves, settings.pick or way.pick, extract, same)


def known(strategy: str) -> Strategy:
    if strategy not in STRATEGIES:
        raise ValueError(f"{strategy!r} is not a strategy; there are {', '.join(STRATEGIES)}.")
    return STRATEGIES[strategy]


def conclude(
    strategy: str,
    draw: Draw,
    leaves: list[int],
    pick: str,
    extract: Callable[[str], str | None] = said_answer,
    same: Callable[[str, str], bool] = same_answer,
) -> Result:
    """Votes over the finished paths among `leaves`, else over every finished one, else the best path there is."""
    tree, settings = draw.tree, draw.settings
    finished = [leaf for leaf in leaves if tree.nodes[leaf].state == "finished"]
    finished = finished or [node.id for node in tree.nodes if node.state == "finished"]
    for node in tree.nodes:
        if node.state == "finished":
            node.answer = extract(settings.separator.join(tree.steps(node.id))) or None
    pool = finished or leaves or [node.id for node in tree.nodes if node.state in ("cut", "open") and node.id]
    leaf, votes = choose(tree, pool, count(tree, finished, same, settings.n), pick)
    return Result(
        strategy=strategy,
        settings=asdict(settings) | {"pick": pick},
        nodes=tree.nodes,
        chosen=[] if leaf is None else tree.path(leaf),
        answer=None if leaf is None else tree.nodes[leaf].answer,
        answers=votes,
        policy_tokens=draw.policy_tokens,
        scorer_tokens=draw.scorer_tokens,
        stopped=draw.stopped,
    )
