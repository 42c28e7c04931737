"""Take all memory."""

held = []
while True:
    try:
        held.append(bytearray(1 << 24))
    except MemoryError:
        break


def add(a, b):
    return bytearray(1 << 40)
