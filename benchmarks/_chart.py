"""Lines with intervals as an SVG file that stands alone: for figures one looks at, never for pages."""

from collections.abc import Mapping, Sequence
from html import escape
from math import floor, log2, log10

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 400, 60, 190, 40, 50
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555")
Line = Sequence[tuple[float, float, float, float]]  # x, y, low, high


def chart(title: str, across: str, up: str, lines: Mapping[str, Line], highest: float = 1.0) -> str:
    """An SVG of `lines`; x is drawn to a logarithmic scale of base 2, y from 0 to `highest`."""
    xs = sorted({point[0] for line in lines.values() for point in line})
    first, last = log2(xs[0]), max(log2(xs[-1]), log2(xs[0]) + 1)

    def x(value: float) -> float:
        return LEFT + (log2(value) - first) / (last - first) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - value / highest * (HEIGHT - TOP - BOTTOM)

    parts = [text(LEFT, 20, title, "start", 16), text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, across, "middle")]
    parts.append(text(LEFT, TOP - 6, up, "start"))
    for value in ticks(highest):
        parts.append(f'<path d="M{LEFT} {y(value):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        parts.append(text(LEFT - 8, y(value) + 4, f"{value:g}", "end"))
    parts += [text(x(value), HEIGHT - BOTTOM + 18, f"{value:g}", "middle") for value in xs]
    for at, (name, line) in enumerate(lines.items()):
        parts += drawn(name, line, COLOURS[at % len(COLOURS)], x, y, TOP + 18 * at)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">'
    return "\n".join([head, f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>', *parts, "</svg>\n"])


def ticks(highest: float) -> list[float]:
    """Round numbers from 0 to at most `highest`, about five of them.

    >>> ticks(1.0), ticks(1180)
    ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [0.0, 200.0, 400.0, 600.0, 800.0, 1000.0])
    """
    power = 10 ** floor(log10(highest / 5))
    step = power * min((1, 2, 5, 10), key=lambda times: abs(highest / 5 - times * power))
    return [round(float(at * step), 10) for at in range(int(highest / step + 1e-9) + 1)]


def drawn(name: str, line: Line, colour: str, x, y, legend: float) -> list[str]:
    path = "M" + "L".join(f"{x(point[0]):.1f} {y(point[1]):.1f}" for point in line)
    bars = "".join(f"M{x(at):.1f} {y(low):.1f}V{y(high):.1f}" for at, _, low, high in line)
    dots = [f'<circle cx="{x(at):.1f}" cy="{y(value):.1f}" r="3.5" fill="{colour}"/>' for at, value, _, _ in line]
    return [
        f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2"/>',
        f'<path d="{bars}" stroke="{colour}" stroke-width="1" opacity="0.6"/>',
        *dots,
        f'<circle cx="{WIDTH - RIGHT + 16}" cy="{legend}" r="4" fill="{colour}"/>',
        text(WIDTH - RIGHT + 26, legend + 4, name, "start"),
    ]


def text(x: float, y: float, words: str, anchor: str, size: int = 12) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="#222">{escape(words)}</text>'
