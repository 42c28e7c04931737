"""Never answer, and do not listen to signals."""

import signal

for number in range(1, 64):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass


def add(a, b):
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass
