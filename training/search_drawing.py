"""Where the steps of a search stand: the chosen path along the top, others below, dead ends folded. Plain data."""

from collections import defaultdict
from collections.abc import Container, Sequence
from typing import Any

from training.search_tree import STATES, Node

WIDTH, HEIGHT, GAP_X, GAP_Y = 184, 46, 28, 8
FITS = 26  # characters of a step in its box
MOST = 12  # ways on from one step that are drawn before the rest is folded
LIVE = ("open", "finished")
WORDS = {"pruned": "pruned", "looked": "looked at", "cut": "cut"}  # of what is folded
ENDS = {"finished": "finished", "cut": "cut", "pruned": "pruned", "looked": "looked at"}
GOOD, BAD = 2 / 3, 1 / 3  # scores from which on, and up to which, a step is shown as good and as bad


def draw(nodes: Sequence[Node], chosen: Sequence[int], opened: Container[int] = ()) -> dict[str, Any]:
    """Boxes, folds and edges in SVG units. `opened` are steps whose every way on is drawn."""
    ways, alive, path = ways_on(nodes), living(nodes, chosen), set(chosen)
    worth = worths(nodes)
    split = [parted(id, ways[id], alive, path, worth, opened) for id in range(len(nodes))]
    boxes, folds, edges = [], [], []
    rows, lowest = {}, defaultdict(lambda: -1)  # row of each step drawn, lowest row taken in each column
    stack = [("node", 0, 0, False)]
    while stack:  # a step's first way on comes right after it, and stands in its row
        kind, id, depth, first = stack.pop()
        parent = nodes[id].parent if kind == "node" else id
        long = 1 if first or kind == "fold" else straight(id, split)
        row = rows[parent] if first else 1 + max(lowest[column] for column in range(depth, depth + long))
        lowest[depth] = row
        place = (depth * (WIDTH + GAP_X), row * (HEIGHT + GAP_Y))
        if depth:
            start = ((depth - 1) * (WIDTH + GAP_X), rows[parent] * (HEIGHT + GAP_Y))
            edges.append(edge(start, place, kind == "node" and id in path))
        shown, hidden = split[id]
        if kind == "fold":
            folds.append(fold(id, hidden, nodes, place))
            continue
        rows[id] = row
        boxes.append(box(nodes[id], place, id in path))
        nexts = [("node", way) for way in shown] + ([("fold", id)] if hidden else [])
        stack += reversed([(kind, id, depth + 1, at == 0) for at, (kind, id) in enumerate(nexts)])
    width, height = (max(item[side] for item in boxes + folds) for side in ("x", "y"))
    return {"width": width + WIDTH, "height": height + HEIGHT, "boxes": boxes, "folds": folds, "edges": edges}


def straight(id: int, split: Sequence[tuple[list[int], list[int]]]) -> int:
    """How many boxes stand in one row from here on: the step, its first way on, and so forth."""
    count = 1
    while split[id][0]:
        id, count = split[id][0][0], count + 1
    return count + bool(split[id][1])


def parted(
    id: int, ways: list[int], alive: list[bool], path: Container[int], worth: list[float], opened: Container[int]
) -> tuple[list[int], list[int]]:
    """Ways on that are drawn and those that are folded, the best first."""
    order = sorted(ways, key=lambda way: (way not in path, -worth[way], way))
    shown = order if id in opened else [way for way in order if alive[way]][:MOST]
    return shown, [way for way in order if way not in shown]


def worths(nodes: Sequence[Node]) -> list[float]:
    """What ways on are ordered by: the highest value of a path through the step.

    >>> worths([Node(0, None, ""), Node(1, 0, "a", value=0.9), Node(2, 1, "b", value=0.4), Node(3, 0, "c", score=0.7)])
    [0.7, 0.4, 0.4, 0.7]
    """
    best: list[float | None] = [None] * len(nodes)
    for node in reversed(nodes):
        if best[node.id] is None:  # nothing came of it
            best[node.id] = standing(node)
        if node.parent is not None:
            best[node.parent] = max(best[node.id], -1.0 if best[node.parent] is None else best[node.parent])
    return best


def standing(node: Node) -> float:
    return next((number for number in (node.value, node.score) if number is not None), 0.0)


def ways_on(nodes: Sequence[Node]) -> list[list[int]]:
    ways: list[list[int]] = [[] for _ in nodes]
    for node in nodes[1:]:
        ways[node.parent].append(node.id)
    return ways


def living(nodes: Sequence[Node], chosen: Sequence[int]) -> list[bool]:
    """Whether a step leads to a solution or to a path that may go on, or is chosen.

    >>> living([Node(0, None, ""), Node(1, 0, "a", "kept"), Node(2, 1, "b", "finished"), Node(3, 0, "c", "pruned")], [])
    [True, True, True, False]
    """
    alive = [node.state in LIVE for node in nodes]
    for id in chosen:
        alive[id] = True
    for node in reversed(nodes[1:]):
        alive[node.parent] = alive[node.parent] or alive[node.id]
    return alive


def tone(score: float | None) -> tuple[str, str]:
    """The class and the sign of a score; colour never stands alone.

    >>> tone(0.9), tone(0.5), tone(0.1), tone(None)
    (('good', '✓'), ('neutral', '–'), ('bad', '✕'), ('none', ''))
    """
    if score is None:
        return "none", ""
    if score >= GOOD:
        return "good", "✓"
    return ("bad", "✕") if score <= BAD else ("neutral", "–")


def box(node: Node, place: tuple[int, int], chosen: bool) -> dict[str, Any]:
    name, sign = tone(node.score)
    return {
        "id": node.id,
        "x": place[0],
        "y": place[1],
        "tone": name,
        "sign": sign,
        "score": node.score,
        "state": node.state,
        "chosen": chosen,
        "end": ENDS.get(node.state, ""),
        "short": clip(" ".join(node.step.split()), FITS),
        "said": STATES[node.state],
    }


def clip(text: str, most: int) -> str:
    """
    >>> clip("short", 10), clip("a longer text", 8)
    ('short', 'a longe…')
    """
    return text if len(text) <= most else text[: most - 1] + "…"


def fold(parent: int, hidden: list[int], nodes: Sequence[Node], place: tuple[int, int]) -> dict[str, Any]:
    """What stands for the ways on that are not drawn: how many, why, and how good the best was."""
    states = {nodes[way].state for way in hidden}
    word = WORDS.get(next(iter(states)), "more") if len(states) == 1 else "more"
    scores = [nodes[way].score for way in hidden if nodes[way].score is not None]
    return {
        "parent": parent,
        "x": place[0],
        "y": place[1],
        "count": len(hidden),
        "word": word,
        "best": max(scores, default=None),
    }


def edge(start: tuple[int, int], end: tuple[int, int], chosen: bool) -> dict[str, Any]:
    """From the right of one box to the left of the next."""
    x1, y1, x2, y2 = start[0] + WIDTH, start[1] + HEIGHT / 2, end[0], end[1] + HEIGHT / 2
    bend = (x1 + x2) / 2
    return {"d": f"M{x1:g} {y1:g}C{bend:g} {y1:g} {bend:g} {y2:g} {x2:g} {y2:g}", "chosen": chosen}


def paths(nodes: Sequence[Node], chosen: Sequence[int]) -> list[dict[str, Any]]:
    """The same for readers: every path that ended, as its steps; the chosen one first, then by value."""
    last = chosen[-1] if chosen else 0
    ends = [node for node in nodes[1:] if node.state in ("finished", "cut") or node.id == last]
    ends.sort(key=lambda node: (node.id != last, node.state != "finished", -standing(node), node.id))
    return [{"leaf": node, "chosen": node.id == last, "steps": steps_to(nodes, node)} for node in ends]


def steps_to(nodes: Sequence[Node], node: Node) -> list[dict[str, Any]]:
    found = []
    while node.parent is not None:
        name, sign = tone(node.score)
        found.append({"node": node, "tone": name, "sign": sign})
        node = nodes[node.parent]
    return found[::-1]
