"""Where the nodes of a lineage stand, sources left, the model right; and the same as a tree. Plain data in and out."""

from itertools import pairwise
from statistics import fmean
from typing import Any

WIDTH, HEIGHT, GAP_X, GAP_Y = 184, 48, 44, 12
LANE = 8  # height of an edge that passes a column
FITS = {"label": 23, "detail": 26}  # characters in a box

Edge = tuple[str, str]


def draw(nodes: list[dict], edges: list[Edge], target: str) -> dict[str, Any]:
    """Boxes and curves in SVG units. `target` is the key of the node everything leads to."""
    depth = depths(edges, target)
    known = {node["key"]: node for node in nodes if node["key"] in depth}
    routes = [route(edge, depth) for edge in edges if edge[0] in known and edge[1] in known]
    columns: list[list] = [[] for _ in range(max(depth.values()) + 1)]
    for key in known:
        columns[depth[key]].append(key)
    for way in routes:
        for lane in way[1:-1]:
            columns[depth[way[0]] - way.index(lane)].append(lane)
    middles = arrange(columns, routes)
    places = {key: (place_x(columns, far), middles[key]) for far, column in enumerate(columns) for key in column}
    boxes = [box(node, *places[key], key == target) for key, node in known.items()]
    tallest = max(map(height, columns))
    width = len(columns) * (WIDTH + GAP_X) - GAP_X
    return {
        "width": width + 4,
        "height": tallest + 4,
        "boxes": boxes,
        "curves": [curve([places[key] for key in way]) for way in routes],
    }


def route(edge: Edge, depth: dict[str, int]) -> list:
    """The edge's way through the columns: its two nodes, and a lane in each column between them."""
    start, end = edge
    return [start, *((start, end, far) for far in range(depth[start] - 1, depth[end], -1)), end]


def arrange(columns: list[list], routes: list[list]) -> dict:
    """Order each column by where its products stand, so that few edges cross; return the middle of every item."""
    follows: dict = {}
    for way in routes:
        for item, product in pairwise(way):
            follows.setdefault(item, []).append(product)
    middles: dict = {}
    tallest = max(map(height, columns))
    for column in columns:
        column.sort(key=lambda item: fmean([middles[product] for product in follows.get(item, ())] or [0]))
        y = (tallest - height(column)) / 2
        for item in column:
            middles[item] = y + size(item) / 2
            y += size(item) + GAP_Y
    return middles


def size(item: Any) -> int:
    return HEIGHT if isinstance(item, str) else LANE


def height(column: list) -> int:
    return sum(size(item) + GAP_Y for item in column) - GAP_Y


def place_x(columns: list[list], far: int) -> int:
    return (len(columns) - 1 - far) * (WIDTH + GAP_X)


def depths(edges: list[tuple[str, str]], target: str) -> dict[str, int]:
    """Longest way from each node to the target, so that no edge points backwards.

    >>> depths([("a", "b"), ("b", "c"), ("a", "c")], "c")
    {'c': 0, 'b': 1, 'a': 2}
    """
    found, waiting = {target: 0}, [target]
    while waiting:
        here = waiting.pop(0)
        for source, to in edges:
            if to == here and found.get(source, -1) < found[here] + 1 <= len(edges):
                found[source] = found[here] + 1
                waiting.append(source)
    return found


def box(node: dict, x: float, middle: float, here: bool) -> dict[str, Any]:
    short = {name: clip(node[name], most) for name, most in FITS.items()}
    return node | {"x": x, "y": middle - HEIGHT / 2, "here": here, "short": short}


def clip(text: str, most: int) -> str:
    """
    >>> clip("short", 10), clip("a longer text", 8)
    ('short', 'a longe…')
    """
    return text if len(text) <= most else text[: most - 1] + "…"


def curve(points: list[tuple[float, float]]) -> str:
    """A path from the right side of the first box to the left side of the last, straight along its lanes."""
    (x, y), path = points[0], []
    path.append(f"M{x + WIDTH:g} {y:g}")
    for (x1, y1), (x2, y2) in pairwise(points):
        bend = GAP_X / 2
        path.append(f"C{x1 + WIDTH + bend:g} {y1:g} {x2 - bend:g} {y2:g} {x2:g} {y2:g}")
        path.append(f"H{x2 + WIDTH:g}")
    return " ".join(path[:-1])


def tree(nodes: list[dict], edges: list[tuple[str, str]], target: str) -> dict[str, Any]:
    """The same read backwards, for narrow screens: each node with its sources; met again, it is not unfolded."""
    known, seen = {node["key"]: node for node in nodes}, set()

    def below(key: str) -> dict[str, Any]:
        again = key in seen
        seen.add(key)
        sources = [] if again else [below(source) for source, to in edges if to == key and source in known]
        return known[key] | {"sources": sources}

    return below(target)
