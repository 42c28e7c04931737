"""Plain values as JSON that keeps their types: what goes in and out of a sandbox, and nothing else does."""

EXACT = 1 << 63  # integers beyond this are written as text
SCALARS = (type(None), bool, str)


class NotPlain(TypeError):
    """A value of another type than the plain ones, whose copy cannot cross."""


def encoded(value, other=None):
    """The JSON form. `other(value)` writes what is not plain; without it that is an error.

    >>> encoded((1, 2.5, {"a": [True, None]}))
    {'t': [1, {'f': '0x1.4000000000000p+1'}, {'d': [['a', {'l': [True, None]}]]}]}
    """
    kind = type(value)
    if kind in SCALARS:
        return value
    if isinstance(value, int):
        number = int.__index__(value)
        return number if -EXACT < number < EXACT else {"i": hex(number)}
    if isinstance(value, float):
        return {"f": (float.__float__(value) + 0.0).hex()}  # adding makes one zero of -0.0 and 0.0
    if isinstance(value, dict):
        return {"d": [[encoded(key, other), encoded(item, other)] for key, item in dict.items(value)]}
    for mark, base in SEQUENCES.items():
        if isinstance(value, base):
            return {mark: [encoded(item, other) for item in base.__iter__(value)]}
    if isinstance(value, str):
        return str.__str__(value)
    if kind in (bytes, bytearray):
        return {"b" if kind is bytes else "y": value.hex()}
    if kind is complex:
        return {"c": [value.real.hex(), value.imag.hex()]}
    if other is None:
        raise NotPlain(f"{kind.__name__} is not a plain type")
    return other(value)


def decoded(form, other=None):
    """The value again. `other(number)` stands for what was not plain."""
    if isinstance(form, SCALARS) or type(form) is int:
        return form
    ((mark, inner),) = form.items()
    if mark in SEQUENCES:
        return SEQUENCES[mark](decoded(item, other) for item in inner)
    if mark == "d":
        return {decoded(key, other): decoded(item, other) for key, item in inner}
    if mark == "o" and other:
        return other(inner)
    return SIMPLE[mark](inner)


SEQUENCES = {"l": list, "t": tuple, "s": set, "z": frozenset}
SIMPLE = {
    "i": lambda text: int(text, 16),
    "f": float.fromhex,
    "b": bytes.fromhex,
    "y": bytearray.fromhex,
    "c": lambda parts: complex(*map(float.fromhex, parts)),
}
