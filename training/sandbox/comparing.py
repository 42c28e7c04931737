"""Compare what a program returned with what it should have, as JSON forms: no value of its making is ever made here."""

import json

from training.sandbox.inside.values import SEQUENCES


def same(one, other) -> bool:
    """Whether two JSON forms are one value of one type, without making that value.

    >>> from training.sandbox.inside.values import encoded
    >>> same(encoded({1, 2}), encoded({2, 1})), same(encoded(1), encoded(True)), same(encoded(1), encoded(1.0))
    (True, False, False)
    """
    try:
        return ordered(one) == ordered(other)
    except (RecursionError, TypeError, ValueError, KeyError):
        return False


def ordered(form) -> str:
    """One text for equal values: sets and dicts have no order, so theirs is that of their texts."""
    if not isinstance(form, dict):
        return json.dumps(form)
    ((mark, inner),) = form.items()
    if mark == "d":
        return json.dumps([mark, sorted(ordered(key) + ordered(item) for key, item in inner)])
    if mark in SEQUENCES:
        texts = [ordered(item) for item in inner]
        return json.dumps([mark, sorted(texts) if mark in "sz" else texts])
    return json.dumps([mark, inner])
