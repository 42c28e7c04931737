"""The list of rewards as fields of a form, and back to its text. What was typed is kept, right or wrong."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from training.rewards import REWARDS, Kind, Part, parse
from training.rewards.kinds import FAMILIES
from training.rewards.parts import assigned
from training.rewards.shaping import LANGUAGES

MOST = 20  # parts of a list
TEXT, SHOWN = "set-rewards", "rewards-shown"


@dataclass
class Row:
    """One part as the page shows it."""

    name: str
    argument: str
    weight: str
    values: dict[str, str]
    index: int = 0  # its number on the page, for as long as it stands there
    added: bool = False

    @property
    def kind(self) -> Kind:
        return REWARDS[self.name]

    @property
    def options(self) -> list[dict[str, Any]]:
        found = []
        for name, option in self.kind.options.items():
            value = self.values.get(name, text_of(option.default))
            field = {"name": name, "id": f"p{self.index}-o-{name}", "value": value, "help": option.help}
            found.append(field | {"choices": option.choices, "check": option.kind is bool, "on": value == "yes"})
        return found


def text_of(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def from_parts(parts: Sequence[Part]) -> list[Row]:
    return [
        Row(part.name, part.argument, f"{part.weight:g}", {k: text_of(v) for k, v in part.options.items()}, index)
        for index, part in enumerate(parts)
    ]


def from_fields(data: Mapping[str, str]) -> list[Row]:
    """The rows as they were sent, in the order of the page; a checkbox that is not sent is off."""
    rows = []
    for field in data:
        found = re.fullmatch(r"p([0-9]{1,4})-name", field)
        if not found or (name := data[field]) not in REWARDS:
            continue
        index, values = int(found[1]), {}
        for key, option in REWARDS[name].options.items():
            said = data.get(f"p{index}-o-{key}")
            values[key] = ("yes" if said else "no") if option.kind is bool else (said or "").strip()
        argument = (data.get(f"p{index}-argument") or "").strip()
        rows.append(Row(name, argument, (data.get(f"p{index}-weight") or "").strip(), values, index))
    return rows[:MOST]


def written(rows: Sequence[Row]) -> str:
    """The text of these rows, with the options that differ from what they are anyway.

    >>> written([Row("math", "", "1", {"marked": "no"}), Row("regex", "", "0.5", {"pattern": "a b"})])
    'math 1; regex 0.5 pattern="a b"'
    """
    return "; ".join(" ".join(words_of(row)) for row in rows)


def words_of(row: Row) -> list[str]:
    words = [row.name + (f":{row.argument}" if row.argument or row.kind.argument else ""), row.weight or "1"]
    for name, value in row.values.items():
        option = row.kind.options.get(name)
        if option and value != text_of(option.default) and (value or option.kind is str):
            words.append(assigned((name, value)))
    return words


def said(data: Mapping[str, str]) -> str:
    """The list a form means: its fields (no script drew them: its text); its text where that was edited.

    What was edited in fields meanwhile goes into the text, but where both edited one part the text has the last word.
    """
    text, fields = data.get(TEXT, ""), from_fields(data) if SHOWN in data else []
    if not fields or not edited_text(data):
        return written(fields) if fields else text
    drawn, parts = read(data[SHOWN])[0], read(text)[0]
    if len(drawn) != len(fields):
        return text
    sides = zip(parts, drawn, fields, strict=False)
    merged = [now if differ(was, now) and not differ(was, part) else part for part, was, now in sides]
    merged += parts[len(drawn) :]
    return text if merged == parts else written(merged)


def edited_text(data: Mapping[str, str]) -> bool:
    """Whether the text that is sent is another than the one whose fields stand on the page."""
    return data.get(TEXT, "") != data.get(SHOWN)


def differ(one: Row, other: Row) -> bool:
    return words_of(one) != words_of(other)


def changed(data: Mapping[str, str]) -> tuple[str, list[Row]]:
    """The list after what a button or the select below it asks for, one row less or more; as text and as rows."""
    text = said(data)
    rows = read(text)[0] if edited_text(data) else from_fields(data)
    if text.strip() and not rows:  # a text nobody can read is not replaced
        return text, rows
    if (index := data.get("remove", "")).isdecimal():
        numbers = [row.index for row in from_fields(data)]  # of the rows on the page, whose text may be newer
        at = numbers.index(int(index)) if int(index) in numbers else -1
        rows = rows[:at] + rows[at + 1 :] if at >= 0 else rows
    if (name := data.get("add")) in REWARDS and len(rows) < MOST:
        rows = [*rows, Row(name, "", "1", {}, 1 + max((row.index for row in rows), default=-1), added=True)]
    return (written(rows) if data.get("remove") or data.get("add") else text), rows


def read(text: str) -> tuple[list[Row], str]:
    """The rows of a text, and what is wrong with it."""
    try:
        return from_parts(parse(text)), ""
    except ValueError as error:
        return [], str(error)


def shown(text: str, rows: list[Row] | None, models: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """What the template needs; `rows` are those that were sent, else they are read from the text."""
    found, error = read(text)
    found = rows or found
    for row in found:
        row.choices = choices_of(row, models)
    families = [
        (label, [(name, kind) for name, kind in REWARDS.items() if kind.family == family])
        for family, label in FAMILIES.items()
    ]
    return {"text": text, "rows": found, "error": error, "families": families, "full": len(found) >= MOST}


def choices_of(row: Row, models: Mapping[str, Sequence[str]]) -> list[str] | None:
    """What the argument is chosen from; None where it is typed."""
    if row.name == "language":
        return list(LANGUAGES)
    if row.name not in models:
        return None
    known = list(models[row.name])
    return known if not row.argument or row.argument in known else [row.argument, *known]
