"""Cut a whole solution into steps by a rule; code, display math and final answers stay whole. Pure."""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import accumulate

Span = tuple[int, int]

# What no rule cuts opens with one of these: code fences, display math, environments, drawings; \\( is inline math.
OPENS = re.compile(r"^(?:```+|~~~+)|\$\$|\\\[|\\begin\{[^}\n]*\}|\[asy\]|\\\(", re.MULTILINE)
CLOSES = {"$$": "$$", r"\[": r"\]", "[asy]": "[/asy]", r"\(": r"\)"}
# A dollar sign opens before a character and closes after one, so two prices are no formula.
INLINE = re.compile(r"`[^`\n]+`|<<[^<>\n]*>>|(?<!\\)\$(?=\S)[^$\n]*?(?<=[^\s\\])\$(?!\d)")
BLANK_LINES = re.compile(r"\n[^\S\n]*\n\s*")
LINES = re.compile(r"\n\s*")
STEP_N = re.compile(r"(?:(?<=\n)|(?<=[.!?:;)>\]]\s))[^\S\n]*(?=(?:#+ *|\*\*|__)?step +\d+ *(?:\*\*|__)?[:.)–-])", re.I)
SENTENCES = re.compile(r"[.!?…]+[\"'”’)\]*]*(?P<gap>\s+)(?=[\"'“‘(\[*]*(?:[^\W_a-z]|[$\\#\[(-]))")
ABBREVIATIONS = re.compile(
    r"(?:\b(?:e\.g|i\.e|etc|cf|vs|approx|resp|viz|mr|mrs|ms|dr|prof|st|jr|sr|no|nos|fig|figs|eq|eqs|eqn|sec|ch|p|pp|vol|"
    r"ex|def|thm|prop|lem|w\.r\.t|a\.m|p\.m|u\.s)|(?<!\w)[A-Z]|(?:^|\n|[.!?:]\s)[^\S\n]*\d{1,2})\.$",
    re.IGNORECASE,
)
ANSWER = re.compile(r"####[^\S\n]*\S[^\n]*$")  # GSM8K's last line
HEADING = re.compile(r"#+ *(?:final )?answer:?\s*$", re.IGNORECASE | re.MULTILINE)  # PRM800K's, above its answer


def split(text: str, rule: str) -> list[str]:
    r"""The steps of a solution by a rule of models.SPLITS; joined again they are the solution, but for blanks.

    >>> split("Let x = 2.\n\nThen\n\\[x +\n\nx = 4\\]\n\nSo 4.", "blank_line")
    ['Let x = 2.', 'Then\n\\[x +\n\nx = 4\\]', 'So 4.']
    >>> split("She has 3 left.\n3 * 2 = 6\n#### 6", "line")
    ['She has 3 left.', '3 * 2 = 6\n#### 6']
    >>> split("Step 1: 2 + 2 = 4. Step 2: As in step 1, add 3.\n**Step 3:** 7", "step_n")
    ['Step 1: 2 + 2 = 4.', 'Step 2: As in step 1, add 3.', '**Step 3:** 7']
    >>> split("It costs $3.50, i.e. 350 cents. Dr. No pays $7. $x = 2. Y$ holds!", "sentence")
    ['It costs $3.50, i.e. 350 cents.', 'Dr. No pays $7.', '$x = 2. Y$ holds!']
    """
    kept = list(blocks(text))
    if rule == "sentence":
        kept = sorted(kept + [match.span() for match in INLINE.finditer(text)])
    starts, inside = [start for start, _ in kept], list(accumulate((end for _, end in kept), max))
    cuts = [cut for cut in CUTS[rule](text) if not within(cut, starts, inside)]
    return [text[start:end] for start, end in with_answers(text, pieces(text, cuts))]


def blocks(text: str) -> Iterator[Span]:
    r"""Spans that are cut by no rule; what is never closed ends nothing, but for code, which then goes on to the end.

    >>> list(blocks("a $$x$$ \\[y"))
    [(2, 7)]
    """
    at, never = 0, set()
    while match := OPENS.search(text, at):
        opening, at = match.group(), match.end()
        if opening in never or len(never) > 20:
            continue
        end = block_end(text, opening, at)
        if end < 0:
            never.add(opening)  # so that the text is not searched for it again and again
        else:
            yield match.start(), end
            at = end


def block_end(text: str, opening: str, at: int) -> int:
    if opening[0] in "`~":
        found = text.find("\n" + opening, at)
        return len(text) if found < 0 else found + 1 + len(opening)
    closing = CLOSES.get(opening) or opening.replace("begin", "end")
    found = text.find(closing, at)
    return found if found < 0 else found + len(closing)


def within(cut: Span, starts: list[int], ends: list[int]) -> bool:
    """Whether a cut falls into one of the spans (sorted by start, with the farthest end so far)."""
    place = bisect_right(starts, cut[0]) - 1
    return place >= 0 and cut[0] < ends[place] and cut[0] > starts[place]


def gaps(pattern: re.Pattern) -> Callable[[str], Iterator[Span]]:
    return lambda text: (match.span() for match in pattern.finditer(text))


def sentence_ends(text: str) -> Iterator[Span]:
    """The blanks after sentences: not after abbreviations, initials or numbers of a list; blank lines end one too."""
    found = [match.span("gap") for match in SENTENCES.finditer(text) if not abbreviated(text, match.start("gap"))]
    yield from sorted({*found, *(match.span() for match in BLANK_LINES.finditer(text))})


def abbreviated(text: str, end: int) -> bool:
    return bool(ABBREVIATIONS.search(text, max(0, end - 12), end))


CUTS: dict[str, Callable[[str], Iterator[Span]]] = {
    "blank_line": gaps(BLANK_LINES),
    "line": gaps(LINES),
    "step_n": gaps(STEP_N),
    "sentence": sentence_ends,
}


def pieces(text: str, cuts: list[Span]) -> list[Span]:
    """What stands between the cuts, without the blanks around it."""
    edges = [0, *(edge for cut in cuts for edge in cut), len(text)]
    spans = [stripped(text, start, end) for start, end in zip(edges[::2], edges[1::2], strict=True)]
    return [span for span in spans if span[0] < span[1]]


def stripped(text: str, start: int, end: int) -> Span:
    piece = text[start:end]
    return start + len(piece) - len(piece.lstrip()), end - (len(piece) - len(piece.rstrip()))


def with_answers(text: str, spans: list[Span]) -> list[Span]:
    r"""A final answer alone is no step: it belongs to the one before it.

    >>> text = "So 29 cents.\n\n# Answer\n\n29"
    >>> [text[start:end] for start, end in with_answers(text, pieces(text, [(12, 14), (22, 24)]))]
    ['So 29 cents.\n\n# Answer\n\n29']
    """
    joined: list[Span] = []
    headed = False
    for start, end in spans:
        heading = HEADING.match(text, start, end)
        if joined and (headed or heading or ANSWER.match(text, start, end)):
            joined[-1] = joined[-1][0], end
        else:
            joined.append((start, end))
        headed = heading and heading.end() == end
    return joined
