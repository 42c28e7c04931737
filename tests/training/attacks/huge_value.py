"""Return a value that is too large to send."""


def add(a, b):
    return "x" * (1 << 26)
