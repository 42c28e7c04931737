"""Return a dict whose keys all have one hash, for whoever builds it again."""


def add(a, b):
    return {(2**61 - 1) * number: 0 for number in range(4_000)}
