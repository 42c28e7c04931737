"""Break the protocol: deep, broken and empty messages."""

import os


def add(a, b):
    for number in range(3, 16):
        try:
            os.write(number, b"[" * 100000 + b"\n\xff\xfe\nnull\n[]\n{}\n")
        except OSError:
            pass
    return None
