"""Find and normalise the final answer of a solution: boxed, after ####, after “the answer is”, an option's letter."""

import re
from fractions import Fraction

BOXED = re.compile(r"\\(?:boxed|fbox)\s*(?=\{)")
HASHES = re.compile(r"####[ \t]*([^\n]+)")
SAID = re.compile(r"\banswer(?:\s+is|\s*[:=])[\s:]*([^\n]+)", re.I)
SENTENCE_END = re.compile(r"(?<=[^\s.])[.!?](?=\s+[A-Z(]|\s*$)")
OPTION = re.compile(r"^\(?([A-Z])\)(?=\W|$)|^([A-Z])(?:[.:](?=\s|$)|$)")
LAST_OPTION = re.compile(r"\(([A-Z])\)")
DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+"
NUMBER = re.compile(rf"(?<![\w.])(?:(?<![\d)])[-−+]\s?)?(?:{DIGITS})(?:\s?/\s?\d+(?![\d.]))?(?!\d)")
ALONE = re.compile(
    rf"(?:[A-Za-z]\s*=\s*)?([-−+]?)\s*[$€£]?\s*([-−+]?(?:{DIGITS})(?:\s*/\s*\d+)?)\s*%?"
    r"(?:\s+[A-Za-z]{2,}[A-Za-z ]*)?[.,!]?$"
)
FRACTION = re.compile(r"(-?)\\frac\{(-?\d+)\}\{(\d+)\}$")
BRACE = re.compile(r"(?<!\\)[{}]")
OPENING, CLOSING = ("\\(", "\\[", "**"), ("\\)", "\\]", "**")
LAST = 100  # boxes of a solution that are looked at
LONGEST = 400  # digits of a number; longer ones are not compared as numbers


def final_answer(text: str) -> str | None:
    r"""The last answer a solution marks as its answer, without the marks around it; None when it marks none.

    >>> final_answer("48 + 24 = 72\n#### 72"), final_answer(r"so it is $\boxed{\frac{1}{2}}$.")
    ('72', '\\frac{1}{2}')
    >>> final_answer("Then 3 * 4 = 12. So the answer is 12."), final_answer("The answer is (A) The truck.")
    ('12', '(A) The truck')
    >>> final_answer("So we get 7.")
    """
    ends = closings(text)
    boxes = [(match.start(), match.end()) for match in BOXED.finditer(text) if match.end() in ends]
    found = [(start, inner) for start, brace in boxes[-LAST:] if (inner := text[brace + 1 : ends[brace]])]
    found += [(match.start(), match[1]) for match in HASHES.finditer(text)]
    if not found:  # words say less surely what the answer is: “so our answer is correct”
        found = [(match.start(), SENTENCE_END.split(match[1], maxsplit=1)[0]) for match in SAID.finditer(text)]
    return (unmarked(max(found)[1]) or None) if found else None


def closings(text: str) -> dict[int, int]:
    """For every brace that opens, the place of the one that closes it; in one pass, whatever a model writes.

    >>> closings("{a{b}} {")
    {2: 4, 0: 5}
    """
    opened, found = [], {}
    for brace in BRACE.finditer(text):
        if brace[0] == "{":
            opened.append(brace.start())
        elif opened:
            found[opened.pop()] = brace.start()
    return found


def unmarked(text: str) -> str:
    """An answer without dollar signs, bold marks and a closing full stop."""
    before = None
    while before != text:
        before, text = text, text.strip().rstrip(".").strip().strip("$")
        for opening, closing in zip(OPENING, CLOSING, strict=True):
            text = text.removeprefix(opening).removesuffix(closing)
    return text


def plain(text: str) -> str:
    r"""An answer as a text to compare: no spaces, no LaTeX dress, no case.

    >>> plain(r"\dfrac{3}{4}") == plain(r" \frac{3}{4} "), plain(r"\text{Evelyn}"), plain(r"90^\circ")
    (True, 'evelyn', '90')
    """
    text = re.sub(r"\\(?:text|mathrm|textbf|mbox)\s*\{([^{}]*)\}", r"\1", unmarked(text))
    text = re.sub(r"\\(?:left|right|[!,;: ])|\^\s*\{?\\circ\}?|\\\$|\s", "", text)
    return re.sub(r"\\[dt]frac", r"\\frac", text).replace("−", "-").casefold()


def number(text: str) -> Fraction | None:
    r"""An answer that is one number, with its unit or currency, as an exact fraction; None for anything else.

    >>> number("$1,250.50"), number("3/4"), number("x = 5"), number("-7 apples"), number(r"-\frac{1}{2}")
    (Fraction(2501, 2), Fraction(3, 4), Fraction(5, 1), Fraction(-7, 1), Fraction(-1, 2))
    >>> number("3x"), number("2, 3"), number("1/0")
    (None, None, None)
    """
    text = re.sub(r"\{,\}|,\\!|\\[!,;: ]", ",", unmarked(text)).replace("\\$", "$").replace("\\%", "%")
    text = re.sub(r"\\[dt]frac", r"\\frac", text)
    if match := FRACTION.match(text):
        return exact_value(f"{match[2]}/{match[3]}", bool(match[1]))
    if match := ALONE.match(text):
        return exact_value(match[2], match[1] in ("-", "−"))
    return None


def exact_value(digits: str, negative: bool = False) -> Fraction | None:
    """Digits as written, with separators, a point or a slash, as a fraction."""
    digits = re.sub(r"[\s,]", "", digits).replace("−", "-")
    if len(digits) > LONGEST or re.search(r"/0+$", digits):
        return None
    over = digits.split("/")
    value = Fraction(over[0]) / (Fraction(over[1]) if len(over) > 1 else 1)
    return -value if negative else value


def last_number(text: str) -> Fraction | None:
    """The last number a text names.

    >>> last_number("First 3, then 1,200 of them."), last_number("10 - 4 = -6"), last_number("none")
    (Fraction(1200, 1), Fraction(-6, 1), None)
    """
    found = NUMBER.findall(text)
    return exact_value(found[-1]) if found else None


def option(text: str) -> str | None:
    """The letter of an answer that chooses one option.

    >>> option("(B)"), option("B) Ulysses"), option("C"), option("(A) One"), option("Apples"), option("(A) or (B)")
    ('B', 'B', 'C', 'A', None, None)
    """
    match = OPTION.match(unmarked(text))
    return (match[1] or match[2]) if match and len(set(LAST_OPTION.findall(text))) < 2 else None


def last_option(text: str) -> str | None:
    """The last letter in brackets that a text names."""
    found = LAST_OPTION.findall(text)
    return found[-1] if found else None
