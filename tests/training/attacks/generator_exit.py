"""Raise what no handler expects."""


def add(a, b):
    raise GeneratorExit
