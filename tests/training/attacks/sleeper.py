"""Take no CPU time, only time."""

import time


def add(a, b):
    time.sleep(10**6)
