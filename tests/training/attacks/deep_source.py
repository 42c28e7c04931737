"""Crash the compiler."""

eval("(" * 100_000 + ")" * 100_000)
exec("+".join(["1"] * 1_000_000))


def add(a, b):
    return None
