"""Return a value that contains itself."""


def add(a, b):
    value = []
    value.append(value)
    return value
