"""Leave a process behind that goes on after the case."""

import os
import time


def daemon():
    if os.fork():
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    while True:
        time.sleep(1)


try:
    daemon()
except OSError:
    pass


def add(a, b):
    daemon()
