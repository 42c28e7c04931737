"""The system calls a sandboxed program may not make, as a filter the kernel enforces: no new processes above all."""

import errno
import platform
import struct

ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050000, 0x80000000
LOAD, EQUALS, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # BPF: word, and jumps on it
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data
CLONE_THREAD = 0x00010000
X32 = 0x40000000
SINCE_2019 = 424  # from here on numbers are the same everywhere, and what is not known is refused
KNOWN_SINCE = (436, 437, 439, 441, 449, 453, 454, 455, 456, 462)  # close_range, openat2, faccessat2, futex…

# Processes (but threads), other processes' memory, mounts, namespaces, modules, keys, tracing, clocks, memory that no
# limit counts (shared memory, memfd, message queues), modes, owners and times of files (/dev/null is the machine's
# own), and every kind of socket but a pair.
X86_64 = (
    *(57, 58, 101, 134, 135, 154, 155, 159, 161, 163, 164, 165, 166, 167, 168, 169, 170, 171, 172, 173, 175, 176, 179),
    *(29, 30, 31, 41, 64, 65, 66, 67, 68, 69, 70, 71, 103, 206, 209, 212, 220, 227, 237, 238, 240, 241, 242, 243, 244),
    *(245, 246, 248, 249, 250, 256, 272, 278, 279, 298, 300, 303, 304, 305, 308, 310, 311, 312, 313, 317, 319, 320),
    *(321, 323, 90, 91, 92, 93, 94, 132, 188, 189, 190, 197, 198, 199, 235, 260, 261, 268, 280),
)
AARCH64 = (
    *(0, 2, 18, 39, 40, 41, 51, 60, 75, 89, 92, 97, 104, 105, 106, 112, 116, 117, 142, 161, 162, 170, 171, 180, 181),
    *(182, 183, 184, 185, 186, 187, 188, 189, 190, 191, 192, 193, 194, 195, 196, 197, 198, 217, 218, 219, 224, 225),
    *(235, 237, 238, 239, 241, 262, 264, 265, 266, 268, 270, 271, 272, 273, 277, 279, 280, 282, 294, 5, 6),
    *(7, 14, 15, 16, 52, 53, 54, 55, 88),
)
MACHINES = {"x86_64": (0xC000003E, 56, X86_64), "aarch64": (0xC00000B7, 220, AARCH64)}  # audit name, clone, refused


def program(machine: str = "") -> bytes | None:
    """The filter in the kernel's form (an array of struct sock_filter); None for a processor it is not written for."""
    if (known := MACHINES.get(machine or platform.machine())) is None:
        return None
    architecture, clone, refused = known
    lines = [step(LOAD, ARCHITECTURE), step(EQUALS, architecture, 1, 0), step(RETURN, KILL), step(LOAD, NUMBER)]
    lines += [step(AT_LEAST, X32, 0, 1), step(RETURN, KILL)]
    lines += [line for number in refused for line in (step(EQUALS, number, 0, 1), step(RETURN, REFUSE | errno.EPERM))]
    lines += [line for number in KNOWN_SINCE for line in (step(EQUALS, number, 0, 1), step(RETURN, ALLOW))]
    lines += [step(AT_LEAST, SINCE_2019, 0, 1), step(RETURN, REFUSE | errno.ENOSYS)]
    lines += [step(EQUALS, clone, 1, 0), step(RETURN, ALLOW), step(LOAD, FIRST_ARGUMENT)]
    lines += [step(ANY_BIT, CLONE_THREAD, 1, 0), step(RETURN, REFUSE | errno.EPERM), step(RETURN, ALLOW)]
    return b"".join(lines)


def step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """One instruction; the last two say how many of the next ones are passed over."""
    return struct.pack("HBBI", code, if_true, if_false, value)
