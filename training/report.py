"""What preflight.json says, made ready for a page: bars with places, token pieces with marks. Plain data in and out."""

from typing import Any

WIDTH, HEIGHT, LEFT = 344, 34, 64  # of one row of the length chart, in SVG units
PIECES = 600  # tokens of an example that are shown


def digest(report: dict[str, Any], max_length: int | None = None) -> dict[str, Any]:
    """The report with its charts laid out. What an older or failed preflight left out is simply not there."""
    return {
        "errors": report.get("errors") or [],
        "warnings": report.get("warnings") or [],
        "rows": {name: part for name, part in (report.get("rows") or {}).items() if part.get("rows")},
        "estimate": report.get("estimate") or {},
        "lengths": length_chart(report.get("lengths") or {}, max_length),
        "examples": [example(sides) for sides in report.get("examples") or []],
    }


def length_chart(lengths: dict[str, dict], max_length: int | None) -> dict[str, Any] | None:
    """One row of bars for the prompt and each side, all on one axis of tokens; a line where max_length cuts."""
    if not lengths:
        return None
    longest = max(part["max"] for part in lengths.values())
    end = max_length if max_length and longest < max_length < 1.5 * longest else longest
    scale = (WIDTH - LEFT) / max(1, end)
    rows = [row(name, part, place, scale) for place, (name, part) in enumerate(lengths.items())]
    limit = LEFT + max_length * scale if max_length and max_length <= end else None
    height = HEIGHT * len(rows)
    return {
        "limit_at": max_length,
        "rows": rows,
        "width": WIDTH,
        "left": LEFT,
        "height": height,
        "end": end,
        "limit": limit,
        "axis": height + 14,
    }


def row(name: str, part: dict, place: int, scale: float) -> dict[str, Any]:
    base, most, width = HEIGHT * (place + 1) - 1, max(part["counts"]), part["bin_width"]
    bars = [
        {
            "x": round(LEFT + at * width * scale, 2),
            "y": round(base - (HEIGHT - 10) * count / most, 2),
            "width": round(max(1.0, width * scale - 1), 2),
            "height": round((HEIGHT - 10) * count / most, 2),
            "title": f"{at * width}–{(at + 1) * width - 1} tokens: {count} rows",
        }
        for at, count in enumerate(part["counts"])
        if count
    ]
    return {"name": name, "bars": bars, "base": base, "median": part["median"], "p95": part["p95"], "max": part["max"]}


def example(sides: dict[str, list[dict]]) -> list[dict[str, Any]]:
    """Each side's token pieces; line ends are made visible, because templates live by them."""
    return [
        {
            "side": side,
            "count": len(pieces),
            "learned": sum(piece["loss"] for piece in pieces),
            "pieces": [{**piece, "text": piece["text"].replace("\n", "⏎\n")} for piece in pieces[:PIECES]],
            "more": max(0, len(pieces) - PIECES),
        }
        for side, pieces in sides.items()
    ]
