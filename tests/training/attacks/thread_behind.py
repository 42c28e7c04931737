"""Answer later, from a thread that outlives the call."""

import threading
import time


def work():
    while True:
        time.sleep(0.1)


def add(a, b):
    threading.Thread(target=work, daemon=False).start()
    return None
