"""Check what a labeler says of a prompt: every completion ranked once, ties where allowed. Plain data in and out."""

import math
import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import Any

FLAGS = ("all_bad", "unsure", "bad_prompt")


class Invalid(ValueError):
    """What was sent cannot be stored; `errors` maps a field (`rank_12`, `rating_12`, `key`, …) to a sentence."""

    def __init__(self, errors: Mapping[str, str]):
        self.errors = dict(errors)
        super().__init__(" ".join(self.errors.values()))


def dense(ranks: Mapping[int, int]) -> dict[int, int]:
    """Ranks without gaps, best first; 1, 1, 3 and 1, 1, 2 mean the same.

    >>> dense({7: 1, 8: 3, 9: 1})
    {7: 1, 8: 2, 9: 1}
    """
    place = {rank: index for index, rank in enumerate(sorted(set(ranks.values())), 1)}
    return {key: place[rank] for key, rank in ranks.items()}


def letter(index: int) -> str:
    """
    >>> letter(0), letter(25), letter(26)
    ('A', 'Z', 'AA')
    """
    return (letter(index // 26 - 1) if index > 25 else "") + chr(65 + index % 26)


def checked(said: Mapping[str, Any], shown: Sequence[int], allow_ties: bool = True) -> dict[str, Any]:
    """`said` made sound, or Invalid. `shown` are the prompt's completions in the order they were seen.

    `said` has ranks {completion: 1…N} and may have ratings {completion: 1…7}, comment, seconds and the FLAGS.
    With `all_bad` or `bad_prompt` the ranks may be missing: everything is then tied at 1.
    """
    names = {key: letter(index) for index, key in enumerate(shown)}
    ranks, errors = numbers(said.get("ranks"), "rank", names, len(shown))
    ratings, more = numbers(said.get("ratings"), "rating", names, 7)
    errors |= more
    flags = {flag: bool(said.get(flag)) for flag in FLAGS}
    if not errors and len(ranks) < len(shown) and (flags["all_bad"] or flags["bad_prompt"]):
        ranks = dict.fromkeys(shown, 1)
    elif not allow_ties and not flags["all_bad"] and not flags["bad_prompt"]:
        errors |= ties(ranks, names)
    errors = errors or {f"rank_{key}": f"{names[key]} has no rank yet." for key in shown if key not in ranks}
    if errors:
        raise Invalid(errors)
    return {"ranks": dense(ranks), "ratings": ratings, **flags, **remarks(said)}


def numbers(values: Any, field: str, names: Mapping[int, str], top: int) -> tuple[dict[int, int], dict[str, str]]:
    """Whole numbers 1…top by completion; what is not one of those becomes an error at its field."""
    if values is not None and not isinstance(values, Mapping):
        return {}, {f"{field}s": f"{field}s is an object: completion id → number."}
    good, errors = {}, {}
    for key, value in (values or {}).items():
        known = int(key) if str(key).isdecimal() and len(str(key)) < 19 else None
        if known not in names:
            errors[f"{field}_{key}"] = f"Completion {str(key)[:40]} does not belong to this prompt."
        elif not 1 <= whole(value) <= top:
            errors[f"{field}_{known}"] = f"The {field} of {names[known]} is a whole number from 1 to {top}."
        else:
            good[known] = int(value)
    return good, errors


def whole(value: Any) -> int:
    """The number someone sent; 0 for what is none or absurdly long.

    >>> whole(7), whole("07"), whole("0000019"), whole("9" * 5000), whole(True), whole(1.5), whole(-1)
    (7, 7, 19, 0, 0, 0, 0)
    """
    digits = "" if isinstance(value, bool) else str(value)
    return int(digits) if digits.isdecimal() and len(digits) <= 18 else 0


def ties(ranks: Mapping[int, int], names: Mapping[int, str]) -> dict[str, str]:
    holder, errors = {}, {}
    for key, rank in ranks.items():
        if rank in holder:
            errors[f"rank_{key}"] = f"{names[key]} shares rank {rank} with {holder[rank]}; this project allows no ties."
        holder.setdefault(rank, names[key])
    return errors


def remarks(said: Mapping[str, Any]) -> dict[str, Any]:
    """Comment without the null characters databases refuse; seconds as a sane number."""
    try:
        seconds = float(said.get("seconds") or 0)
    except (TypeError, ValueError):
        seconds = 0.0
    seconds = min(max(seconds, 0.0), 86400.0) if math.isfinite(seconds) else 0.0
    return {"comment": str(said.get("comment") or "").replace("\0", "").strip(), "seconds": seconds}


def key_of(value: Any) -> uuid.UUID:
    """The idempotency key of a submit; a new one when the caller has none."""
    try:
        return value if isinstance(value, uuid.UUID) else uuid.UUID(str(value)) if value else uuid.uuid4()
    except ValueError as error:
        raise Invalid({"key": "The idempotency key is not a UUID."}) from error


def sketched(said: Mapping[str, Any], known: Collection[int]) -> dict[str, Any]:
    """As much of an unfinished `said` as makes sense: what a draft keeps. Keys are text, as JSON has them."""
    names = dict.fromkeys(known, "")
    sketch: dict[str, Any] = {flag: bool(said.get(flag)) for flag in FLAGS} | remarks(said)
    for field, top in (("rank", len(known)), ("rating", 7)):
        values = numbers(said.get(f"{field}s"), field, names, top)[0]
        sketch[f"{field}s"] = {str(key): value for key, value in values.items()}
    return sketch
