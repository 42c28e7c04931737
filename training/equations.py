"""Find the equations between numbers in a step of prose and LaTeX, and say how sure it is that they stand alone."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from training.arithmetic import NUMBER

WORTH = 50_000  # characters of a step that are read
SIDES = 60  # of one chain of equations
ANNOTATION = re.compile(r"<<([^<>]*)>>")
DRESS = (  # LaTeX and layout that carry no number, and ways to write one sign
    (re.compile(r"(?<=\d)(?:\{,\}|,\\!)(?=\d)"), ","),
    (re.compile(r"\\(?:text|mathrm|mbox|textbf)\s*\{([^{}]*)\}"), r" \1 "),
    (re.compile(r"\\(?:begin|end)\{[a-z*]+\}"), " "),
    (re.compile(r"\\(?:left|right|displaystyle|boxed|mathbf|[,;:! ])|~"), " "),
    (re.compile(r"\n ?(?==)"), " "),
    (re.compile(r"\\[dt]?frac(\d)(\d)"), r"\\frac{\1}{\2}"),
    (re.compile(r"\\[dt]frac"), r"\\frac"),
    (re.compile(r"\\times|\\cdot|\\ast|[×·⋅∗]"), "*"),
    (re.compile(r"\\div|÷"), "/"),
    (re.compile(r"\\%"), "%"),
    (re.compile(r"\\\$|\\[()\[\]]"), "$"),
    (re.compile(r"[−–]"), "-"),
    (re.compile(r"(?<=[\d)])\s*\*\*\s*(?=[\d(-])"), "^"),
    (re.compile(r"\*\*|__"), " "),
    (re.compile(r"\\approx|\\simeq|[≈≅≃]"), "≈"),
    (re.compile(r"(?m)^(?:\d{1,2}[.)]|[-*•]) (?=\D|\d+ ?\D)"), ""),
)
WORDED = (  # words that are signs when they stand between numbers
    (re.compile(r"(?<=[\d)%])\s+(?:multiplied by|times)\s+(?=[-(\d$.])", re.I), " * "),
    (re.compile(r"(?<=[\d)%])\s+divided by\s+(?=[-(\d$.])", re.I), " / "),
    (re.compile(r"(?<=[\d)%])\s+plus\s+(?=[-(\d$.])", re.I), " + "),
    (re.compile(r"(?<=[\d)%])\s+minus\s+(?=[-(\d$.])", re.I), " - "),
    (re.compile(r"(?<=[\d)%])\s+(?:is equal to|equals|is|gives|makes)\s+(?=[-(\d$.])", re.I), " ≡ "),
    (re.compile(r"(?<=[\d)])\s*[xX]\s*(?=\$?\d)(?<=\s)|(?<=\d)[xX](?=\d)"), "*"),
)
TOKEN = re.compile(
    rf"(?P<number>{NUMBER.pattern})|(?P<space>[^\S\n]+)|(?P<equal>==?|≈|≡)|(?P<sign>\\frac|[-+*/^%()\[\]{{}}])"
    r"|(?P<money>[$€£])|(?P<command>\\[A-Za-z]+)|(?P<word>[^\W\d_]{2,}(?:['’][^\W\d_]+)?)|(?P<stop>[.,;:?](?=\s|$)|\n|[\"“”])|(?P<glue>.)"
)
# Beside an expression these words change what it stands for: half of 20 + 4, 3 thousand.
CHANGING = re.compile(
    r"of|half|twice|double|triple|thrice|times|plus|minus|and|or|by|over|than|to|into|between|step|roots?|squared?|cubed?"
    r"|percent|negative|sum|difference|product|quotient|more|less|fewer|each|per|dozen|hundred|thousand|million|billion"
    r"|mod|modulo|base|log|ln|sin|cos|tan|remainder|quarter|third|fourth|fifth|divided|multiplied|added|subtracted",
    re.I,
)
HYPOTHESES = re.compile(
    r"\b(?:not|isn['’]t|doesn['’]t|cannot|false|contradict\w*|impossible|if|suppose|assum\w*|would|try|trying|guess|"
    r"check\w*|let(?!['’]s)|unless|incorrect\w*|wrong\w*|mistake\w*|solve|base|mod|modulo|approximately|about|round\w*|roughly)\b"
    r"|[≠?<>]|\\(?:neq|ne|pmod|bmod|mod)\b",
    re.I,
)
GLUED = ("glue", "command")
UNITS = re.compile(
    r"(?:second|minute|hour|day|week|month|year|cent|dollar|inche?|yard|mile|(?:kilo|centi)?met(?:er|re)|(?:kilo)?gram"
    r"|ounce|pound|liter|cup|pint|quart|gallon)s?|foot|feet|[cmk]m|[mk]g|ml|[ap]m",
    re.I,
)


@dataclass
class Side:
    """One side of an equation: its tokens for `compute`, and as it was written."""

    tokens: list[str]
    text: str

    @property
    def computes(self) -> bool:
        """It holds an operator: more than one number, perhaps signed or in brackets."""
        return sum(bool(NUMBER.fullmatch(token)) for token in self.tokens) > 1

    @property
    def literal(self) -> str:
        """Its number when it is nothing but one, else ""."""
        numbers = [token for token in self.tokens if NUMBER.fullmatch(token)]
        return numbers[0] if len(numbers) == 1 and not {"^", r"\frac", "%"} & set(self.tokens) else ""


@dataclass
class Chain:
    """Sides said to be equal, and what makes a difference between them less than sure."""

    sides: list[Side]
    signs: list[str]  # between them: = or ≈
    doubts: set[str] = field(default_factory=set)  # first, last, said, worded
    unit: bool = False  # a currency or a unit stands beside it: 90 / 60 = 1.5 hours


@dataclass
class Token:
    kind: str
    text: str
    spaced: bool = False  # white space stands before it


def chains(step: str) -> Iterator[Chain]:
    """Every chain of equal sides in a step, what GSM8K writes in << >> first."""
    step = step[:WORTH]
    for inner in ANNOTATION.findall(step):
        yield from chains_of(tokens_of(undressed(inner)), said=False)
    for sentence in re.split(r"(?<=[.;?!])\s+(?=[^\s\d])", undressed(ANNOTATION.sub("", step))):
        yield from chains_of(tokens_of(sentence), said=bool(HYPOTHESES.search(sentence)))


def undressed(text: str) -> str:
    lines = re.sub(r"\\\\|\\newline", "\n", text.replace("&", " ")).splitlines()
    text = "\n".join(" ".join(line.split()) for line in lines if line.strip())
    for pattern, instead in (*DRESS, *WORDED):
        text = pattern.sub(instead, text)
    return text


def tokens_of(text: str) -> list[Token]:
    found, spaced = [], False
    for match in TOKEN.finditer(text):
        if match.lastgroup == "space":
            spaced = True
            continue
        found.append(Token(match.lastgroup, match[0], spaced))
        spaced = False
    return found


def chains_of(tokens: list[Token], said: bool) -> Iterator[Chain]:
    """Runs of numbers and signs that hold an equality, judged by what stands on both ends."""
    start = 0
    for at in range(len(tokens) + 1):
        if at < len(tokens) and tokens[at].kind in ("number", "equal", "sign", "money"):
            continue
        run = tokens[start:at]
        if any(token.kind == "equal" for token in run):
            before = tokens[start - 1] if start else None
            after = tokens[at] if at < len(tokens) else None
            if chain := chain_of(run, before, after, said):
                yield chain
        start = at + 1


def chain_of(run: list[Token], before: Token | None, after: Token | None, said: bool) -> Chain | None:
    sides, signs = split_sides(run)
    chain = Chain([], signs, {"said"} if said else set())
    chain.unit = any(token.kind == "money" for token in run) or bool(after and UNITS.fullmatch(after.text))
    if not sides[0] or tainted_before(sides[0][0], before):
        sides[0] = []
    elif doubtful(before) or (sides[0][0].text == "-" and before and before.kind != "stop"):
        chain.doubts.add("first")
    if sides[-1] and after and after.kind in GLUED:
        sides[-1] = []
    elif doubtful(after):
        chain.doubts.add("last")
    if "≡" in signs:
        chain.doubts |= {"worded"}
    chain.sides = [side_of(unmatched_gone(side)) for side in sides[:SIDES]]
    return chain if len([side for side in chain.sides if side.tokens]) > 1 else None


def split_sides(run: list[Token]) -> tuple[list[list[Token]], list[str]]:
    sides, signs = [[]], []
    for token in run:
        if token.kind == "equal":
            signs.append(token.text)
            sides.append([])
        elif token.kind != "money":
            sides[-1].append(token)
    return sides, signs


def tainted_before(first: Token, before: Token | None) -> bool:
    """What stands before belongs to the expression: 3x + 4, √{16}, or an operator that lacks its left side."""
    return first.text in "+*/^%)]}" or bool(before and before.kind in GLUED)


def doubtful(beside: Token | None) -> bool:
    return bool(beside) and beside.kind == "word" and bool(CHANGING.fullmatch(beside.text))


def unmatched_gone(side: list[Token]) -> list[Token]:
    """Without brackets that open before or close after the equation: (which is 3 + 4 = 7)."""
    while side and side[0].text in "([{" and count(side, "([{") > count(side, ")]}"):
        side = side[1:]
    while side and side[-1].text in ")]}" and count(side, ")]}") > count(side, "([{"):
        side = side[:-1]
    return side


def count(side: list[Token], brackets: str) -> int:
    return sum(token.text in brackets for token in side)


def side_of(tokens: list[Token]) -> Side:
    text = "".join(" " * token.spaced + token.text for token in tokens).strip()
    return Side([token.text for token in tokens], text)
