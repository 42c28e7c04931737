"""Compute written arithmetic safely: a small grammar over exact fractions, with limits on size. No `eval`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

DIGITS = 30  # of one number
BITS = 512  # of any value on the way
EXPONENT = 64
TOKENS = 300
DEPTH = 40
OPEN = {"(": ")", "[": "]", "{": "}"}
MIXED = re.compile(r"(?:(\d+) / (\d+)|\\frac \{ (\d+) \} \{ (\d+) \})(?= |$)")
NUMBER = re.compile(r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+")


class NotArithmetic(ValueError):
    """These tokens are no expression of numbers, or one too large to compute."""


@dataclass(frozen=True)
class Range:
    """A value known to lie between two bounds; exact when they are equal."""

    low: Fraction
    high: Fraction

    @classmethod
    def of(cls, text: str, rounded: bool = False) -> "Range":
        """A literal. With `rounded`, one of two or more decimals may stand for anything that rounds or cuts to it."""
        digits = text.replace(",", "")
        if len(digits) > DIGITS or re.match(r"0\d", digits):
            raise NotArithmetic(f"{text[:DIGITS]} is too long, or a time of day")
        value, decimals = Fraction(digits), len(digits.partition(".")[2])
        slack = Fraction(1, 10**decimals) if rounded and decimals > 1 else 0
        return cls(value - slack, value + slack)

    def __add__(self, other: "Range") -> "Range":
        return bounded(self.low + other.low, self.high + other.high)

    def __neg__(self) -> "Range":
        return Range(-self.high, -self.low)

    def __sub__(self, other: "Range") -> "Range":
        return self + -other

    def __mul__(self, other: "Range") -> "Range":
        corners = [a * b for a in (self.low, self.high) for b in (other.low, other.high)]
        return bounded(min(corners), max(corners))

    def __truediv__(self, other: "Range") -> "Range":
        if other.low <= 0 <= other.high:
            raise NotArithmetic("a division by zero")
        return self * Range(1 / other.high, 1 / other.low)

    def __pow__(self, other: "Range") -> "Range":
        power = other.low
        if other.low != other.high or power.denominator != 1 or abs(power) > EXPONENT:
            raise NotArithmetic("a power that is no small whole number")
        result = Range(Fraction(1), Fraction(1))
        for _ in range(abs(int(power))):
            result = result * self
        return Range(Fraction(1), Fraction(1)) / result if power < 0 else result


def bounded(low: Fraction, high: Fraction) -> Range:
    if max(v.bit_length() for end in (low, high) for v in (end.numerator, end.denominator)) > BITS:
        raise NotArithmetic("a number too large to compute")
    return Range(low, high)


HUNDRED = Range(Fraction(100), Fraction(100))


def compute(tokens: Sequence[str], percent: bool = True, rounded: bool = False) -> Range:
    r"""The value of tokens such as `12`, `+ - * / ^`, brackets, `%` and `\frac`.

    `percent`: 20% is 0.2, else 20 (both are written: 20% × 50, and 100% − 20% = 80). Raises NotArithmetic.

    >>> compute("( 3 + 4 ) * - 2 ^ 2".split()).low, compute(r"\frac { 1 } { 2 } * 50 %".split()).low
    (Fraction(-28, 1), Fraction(1, 4))
    >>> compute("9 ^ 9 ^ 9".split())
    Traceback (most recent call last):
    ...
    training.arithmetic.NotArithmetic: a power that is no small whole number
    """
    if len(tokens) > TOKENS:
        raise NotArithmetic(f"{len(tokens)} signs")
    reader = Reader(tokens, percent, rounded)
    value = reader.sum()
    if reader.at < len(tokens):
        raise NotArithmetic(f"{tokens[reader.at]!r} where an operator was expected")
    return value


class Reader:
    """Recursive descent: sum → product → sign → power → atom."""

    def __init__(self, tokens: Sequence[str], percent: bool, rounded: bool):
        self.tokens, self.at, self.depth = tokens, 0, 0
        self.percent, self.rounded = percent, rounded

    @property
    def next(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, *wanted: str) -> str:
        """The next token when it is one of these, else ""."""
        token = self.next
        if token not in wanted or not token:
            return ""
        self.at += 1
        return token

    def sum(self) -> Range:
        value = self.product()
        while sign := self.take("+", "-"):
            value = value + self.product() if sign == "+" else value - self.product()
        return value

    def product(self) -> Range:
        value = self.signed()
        while True:
            if sign := self.take("*", "/"):
                value = value * self.signed() if sign == "*" else value / self.signed()
            elif self.next in ("(", "["):
                value = value * self.power()  # 2(3), (2)(3)
            else:
                return value

    def signed(self) -> Range:
        self.deeper()
        sign = self.take("-", "+")
        value = self.signed() if sign else self.power()
        self.depth -= 1
        return -value if sign == "-" else value

    def power(self) -> Range:
        value = self.atom()
        return value ** self.signed() if self.take("^") else value

    def atom(self) -> Range:
        if NUMBER.fullmatch(self.next):
            value = self.mixed(Range.of(self.tokens[self.at], self.rounded))
        elif self.take(r"\frac"):
            value = self.group("{") / self.group("{")
        else:
            value = self.group(*OPEN)
        while self.take("%"):
            value = value / HUNDRED if self.percent else value
        return value

    def mixed(self, whole: Range) -> Range:
        """`3 1/2` or `3\\frac{1}{2}`: a number directly followed by a fraction below one."""
        self.at += 1
        match = MIXED.match(" ".join(self.tokens[self.at : self.at + 7]))
        if not match:
            return whole
        top, bottom = (Range.of(part) for part in match.groups() if part)
        if top.low >= bottom.low or whole.low.denominator > 1:
            raise NotArithmetic("a number beside a fraction: their sum, or their product?")
        self.at += len(match[0].split())
        return whole + top / bottom

    def group(self, *kinds: str) -> Range:
        opening = self.take(*kinds)
        if not opening:
            raise NotArithmetic(f"{self.next!r} where a number was expected" if self.next else "nothing at the end")
        self.deeper()
        value = self.sum()
        self.depth -= 1
        if not self.take(OPEN[opening]):
            raise NotArithmetic(f"an open {opening}")
        return value

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > DEPTH:
            raise NotArithmetic("too many brackets or signs")
