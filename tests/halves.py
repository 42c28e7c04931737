"""Which half of `tests.both` runs which tests: what asks a database or a broker runs in both, all else in one."""

from collections import Counter

import pytest

ASKS = {"db", "transactional_db", "services"}  # fixtures; a mark of pytest-django's stands for the first two


def pytest_addoption(parser):
    parser.addoption(
        "--half", type=int, choices=(1, 2), help="run only this half's tests; both run those with a database"
    )


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    """One half begins with the tests both have, the other ends with them: they seldom need the same cores at once."""
    if half := config.getoption("half"):
        shared = [item for item in items if asks(item)]
        rest = [item for item in items if not asks(item)]
        files = dealt(rest)[half - 1]
        mine = [item for item in rest if item.path in files]
        config.hook.pytest_deselected(items=[item for item in rest if item.path not in files])
        items[:] = mine + shared if half == 1 else shared + mine


def dealt(items) -> tuple[set, set]:
    """The files of these tests in two piles that take about as long: training for real takes longer than all else."""
    weights, piles, sums = Counter(), (set(), set()), [0, 0]
    for item in items:
        weights[item.path] += 10 if item.get_closest_marker("training") else 1
    for file, weight in sorted(weights.items(), key=lambda pair: (-pair[1], pair[0])):
        lighter = sums.index(min(sums))
        piles[lighter].add(file)
        sums[lighter] += weight
    return piles


def asks(item) -> bool:
    return bool(ASKS & set(item.fixturenames)) or item.get_closest_marker("django_db") is not None
