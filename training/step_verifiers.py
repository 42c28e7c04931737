"""Verifiers of steps: recompute what a step computes, and say right, wrong, or nothing, and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from training.arithmetic import NotArithmetic, Range, compute
from training.equations import Chain, Side, chains

CONVERSIONS = {Fraction(n) for n in (3, 7, 10, 12, 16, 24, 30, 36, 52, 60, 100, 365, 1000, 1760, 3600, 5280)}
BRACKETS = frozenset("()[]{}")
SHOWN = 12  # digits of a value in a note


@dataclass(frozen=True)
class Judged:
    """What a verifier says of one step: −1, 1 or None, and why."""

    rating: int | None
    note: str = ""


def arithmetic(steps: Sequence[str]) -> list[Judged]:
    r"""Every equation between numbers is computed; steps without one, or with doubt about one, get no rating.

    >>> [judged.rating for judged in arithmetic(["48/2 = <<48/2=24>>24 clips", "12/5 = 6", "x + 5 = 7"])]
    [1, -1, None]
    >>> arithmetic([r"So $\frac{12}{5} = 6$."])[0].note
    '\\frac{12}{5} = 2.4, not 6'
    """
    return [judge(step) for step in steps]


def judge(step: str) -> Judged:
    """Wrong when one equation is surely wrong; right when all that can be computed hold, and there is one."""
    held, doubted = 0, False
    for chain in chains(step):
        for left, right, sign, sure in comparable(chain):
            verdict = compare(left, right, sign == "≈", chain.unit)
            if verdict == "differs" and sure:
                return Judged(-1, f"{left.text} = {shown(left)}, not {right.text}")
            held += verdict == "holds"
            doubted |= verdict != "holds"
    return Judged(1 if held and not doubted else None)


def comparable(chain: Chain):
    """Neighbouring sides that can be computed, and whether a difference between them would be sure."""
    known = [(at, side) for at, side in enumerate(chain.sides) if computable(side)]
    for (i, left), (j, right) in zip(known, known[1:], strict=False):
        if not (left.computes or right.computes) and i == 0:
            continue  # “Step 3 = 5”: nothing was computed
        sure = "said" not in chain.doubts
        sure &= not (i == 0 and ("first" in chain.doubts or not left.computes))
        sure &= not (j == len(chain.sides) - 1 and "last" in chain.doubts)
        sure &= not ("worded" in chain.doubts and (len(left.tokens) > 3 or compute(left.tokens).low < 1))
        yield left, right, chain.signs[j - 1], sure


def computable(side: Side) -> bool:
    try:
        compute(side.tokens)
    except NotArithmetic:
        return False
    return True


def compare(left: Side, right: Side, roughly: bool, unit: bool) -> str:
    """`holds`, `differs`, or `close`: rounding, a conversion of units or a run-on equation may explain it."""
    pairs = [(compute(left.tokens, a).low, compute(right.tokens, b).low) for a in (True, False) for b in (True, False)]
    if any(one == other or rounds_to(one, right) or rounds_to(other, left) for one, other in pairs):
        return "holds"
    one, other = pairs[0]
    if roughly:
        return "holds" if apart(one, other) < 0.02 else "close" if apart(one, other) < 0.2 else "differs"
    if overlap(left, right) or whole_part(one, other, left, right) or runs_on(one, left, right):
        return "close"
    if max(left.tokens.count("/"), right.tokens.count("/")) > 1:  # 1 1/2 / 1/2: which of them is the bar?
        return "close"
    return "close" if unit and converts(one, other) else "differs"


def rounds_to(value: Fraction, side: Side) -> bool:
    """10/3 = 3.33: the side is one decimal number, and the value rounds, or is cut, to it."""
    decimals = len(side.literal.partition(".")[2])
    return bool(decimals) and abs(value - compute(side.tokens).low) < Fraction(1, 10**decimals)


def whole_part(one: Fraction, other: Fraction, left: Side, right: Side) -> bool:
    """7/2 = 3 or 4: somebody may have meant whole things only; large values may have been rounded."""
    whole = any(side.literal and "." not in side.literal for side in (left, right))
    if {one.denominator, other.denominator} == {1} or not whole:
        return False
    return abs(one - other) < 1 or apart(one, other) < 0.005


def apart(one: Fraction, other: Fraction) -> float:
    return float(abs(one - other) / max(abs(one), abs(other)))


def overlap(left: Side, right: Side) -> bool:
    """Decimals that were rounded before may explain the difference: 0.33 × 300 = 100."""
    try:
        one, other = (compute(side.tokens, rounded=True) for side in (left, right))
    except NotArithmetic:
        return True
    return one.low <= other.high and other.low <= one.high


def runs_on(value: Fraction, left: Side, right: Side) -> bool:
    """3 + 4 = 7 * 2 = 14: the right side goes on from the value, as people write on paper.

    What it goes on with is new: in 3 + 4 - 2 = 5 - 2 the 2 is subtracted twice.
    """
    had, goes = ([token for token in side.tokens if token not in BRACKETS] for side in (left, right))
    negative = goes[0] == "-"
    first, rest = goes[negative], goes[negative + 1 :]
    if not rest or first[0] not in "0123456789." or had[-len(rest) :] == rest:
        return False
    return Range.of(first).low == (-value if negative else value)


def converts(one: Fraction, other: Fraction) -> bool:
    """4 * 15 = 1 hour: their ratio is that of two units."""
    return bool(one and other) and (abs(one / other) in CONVERSIONS or abs(other / one) in CONVERSIONS)


def shown(side: Side) -> str:
    """A value for a note: exact when short, else to a few digits.

    >>> shown(Side(["12", "/", "5"], "12/5")), shown(Side(["1", "/", "3"], "1/3"))
    ('2.4', '0.333333')
    """
    value = compute(side.tokens).low
    return str(value) if value.denominator == 1 and value < 10**SHOWN else f"{float(value):.6g}"
