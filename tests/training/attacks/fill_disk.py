"""Fill the disk, and leave the files there."""

import os

for folder in ("/tmp", "/dev", "/dev/shm", "/", "/code", os.getcwd()):
    for number in range(1000):
        try:
            with open(f"{folder}/left-{number}", "wb") as file:
                file.write(b"x" * 1_000_000)
        except OSError:
            break


def add(a, b):
    return None
