"""Read a weighted list of rewards from its text, and write it back: "math 1; length -0.1 target=200"."""

import difflib
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from training.rewards.kinds import REWARDS, Kind, Option

TOKEN = re.compile(r"""[;\n]|(?:"(?:[^"\\]|\\.)*"|'[^']*'|[^\s;"'])+|["']""")
QUOTED = re.compile(r""""((?:[^"\\]|\\.)*)"|'([^']*)'""")
WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


@dataclass(frozen=True)
class Part:
    name: str
    argument: str = ""
    weight: float = 1.0
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        return f"{self.name}:{self.argument}" if self.argument else self.name

    @property
    def kind(self) -> Kind:
        return REWARDS[self.name]


def parse(text: str) -> list[Part]:
    r"""The parts of a list. ValueError says which part is wrong, and what to write instead.

    >>> [(part.label, part.weight, part.options) for part in parse("prm:steps-v2 0.5 aggregate=last; length -0.1")]
    [('prm:steps-v2', 0.5, {'aggregate': 'last'}), ('length', -0.1, {})]
    """
    parts = [part_of(words) for words in items(text)]
    if not parts:
        raise ValueError("The list names no reward. Write one or more, as in: math 1; format 0.2")
    return parts


def items(text: str) -> Iterator[list[str]]:
    """The words of each part; ; and a new line end one, unless they are quoted."""
    words: list[str] = []
    for token in [*TOKEN.findall(text), ";"]:
        if token in ('"', "'"):
            raise ValueError(f"A quote {token} is opened and never closed.")
        if token not in (";", "\n"):
            words.append(token)
        elif words:
            yield words
            words = []


def part_of(words: list[str]) -> Part:
    name, _, argument = words[0].partition(":")
    if name not in REWARDS:
        close = difflib.get_close_matches(name, REWARDS, 1)
        raise ValueError(
            f"There is no reward {name!r}. " + (f"Is it {close[0]}?" if close else f"There are {', '.join(REWARDS)}.")
        )
    kind, weights, options = REWARDS[name], [], {}
    for word in words[1:]:
        key, equals, value = word.partition("=")
        if not equals:
            weights.append(weight_of(name, word))
        elif key in options:
            raise ValueError(f"{name}: {key} is given twice.")
        else:
            options[key] = option_of(name, kind, key, unquoted(value))
    if len(weights) > 1:
        raise ValueError(f"{name} has {len(weights)} weights; put ; between two rewards.")
    argument = argument_of(name, kind, unquoted(argument))
    part = Part(name, argument, weights[0] if weights else 1.0, options)
    if kind.make and name != "code":  # what a factory refuses is refused here; code's refusal is of the machine
        kind(argument, **options)
    return part


def weight_of(name: str, word: str) -> float:
    try:
        weight = float(word)
    except ValueError:
        raise ValueError(f"{name}: {word!r} is neither a weight (a number) nor an option (name=value).") from None
    if not math.isfinite(weight) or not weight:
        raise ValueError(f"{name}: the weight must be a number other than 0, not {word}.")
    return weight


def argument_of(name: str, kind: Kind, argument: str) -> str:
    if argument and not kind.argument:
        raise ValueError(f"{name} takes nothing after a colon; options are written name=value.")
    if kind.argument and not argument:
        raise ValueError(f"{name} needs a {kind.argument}, as in {name}:{EXAMPLES.get(name, 'helpful-v2')}")
    return argument


EXAMPLES = {"language": "en", "endpoint": "https://rewards.example.org/score"}


def option_of(name: str, kind: Kind, key: str, value: str) -> Any:
    if key not in kind.options:
        known = f"It knows {', '.join(kind.options)}." if kind.options else "It has none."
        raise ValueError(f"{name} has no option {key!r}. {known}")
    option = kind.options[key]
    if option.choices and value not in option.choices:
        raise ValueError(f"{name}: {key} should be one of {', '.join(option.choices)}, not {value!r}.")
    try:
        return converted(option, value)
    except (ValueError, KeyError):
        wanted = {bool: "yes or no", int: "a whole number", float: "a number"}[option.kind]
        raise ValueError(f"{name}: {key} should be {wanted}, not {value!r}.") from None


def converted(option: Option, value: str) -> Any:
    if option.kind is bool:
        return WORDS[value.lower()]
    number = option.kind(value)
    if option.kind in (int, float) and (not math.isfinite(number) or number < 0):
        raise ValueError
    return number


def unquoted(value: str) -> str:
    r"""
    >>> unquoted('"a \\" b"c'), unquoted(r"'\d+'"), unquoted(r'"\d"')
    ('a " bc', '\\d+', '\\d')
    """
    return QUOTED.sub(lambda found: re.sub(r'\\(["\\])', r"\1", found[1]) if found[1] is not None else found[2], value)


def written(parts: list[Part]) -> str:
    r"""The text that parse reads as these parts.

    >>> written(parse("math 1.0; regex 0.5 pattern='a;b c' whole=yes"))
    'math 1; regex 0.5 pattern="a;b c" whole=yes'
    """
    return "; ".join(" ".join([part.label, f"{part.weight:g}", *map(assigned, part.options.items())]) for part in parts)


def assigned(option: tuple[str, Any]) -> str:
    key, value = option
    if isinstance(value, bool):
        return f"{key}={'yes' if value else 'no'}"
    text = str(value)
    if text and not re.search(r"""[\s;"'\\]""", text):
        return f"{key}={text}"
    escaped = re.sub(r'(["\\])', r"\\\1", text)
    return f'{key}="{escaped}"'
