"""What this machine offers: its device, the precision that is fast on it, the memory to fill."""

from __future__ import annotations

UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
DTYPES = ("float32", "bfloat16", "float16")


def device_of(wanted: str, threads: int = 0) -> str:
    import torch

    if threads:
        torch.set_num_threads(threads)
    if wanted != "auto":
        return str(torch.device(wanted))
    return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"


def dtype_of(wanted: str, device: str) -> str:
    """bfloat16 where the device multiplies it in hardware, else what it is good at."""
    import torch

    if wanted != "auto":
        if wanted not in DTYPES:
            raise SystemExit(f"dtype must be auto or one of {', '.join(DTYPES)}, not {wanted!r}")
        return wanted
    if device.startswith("cuda"):
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    if device == "cpu":
        return "bfloat16" if torch.cpu._is_avx512_bf16_supported() else "float32"
    return "float16"


def memory_of(wanted: str, device: str) -> int:
    """Bytes of weights to hold at once.

    >>> memory_of("1.5GB", "cpu"), memory_of("500M", "cpu")
    (1500000000, 500000000)
    """
    import psutil
    import torch

    if wanted != "auto":
        return read_bytes(wanted)
    if device.startswith("cuda"):
        return int(torch.cuda.get_device_properties(device).total_memory * 0.7)  # the rest is for keys and values
    return psutil.virtual_memory().total // 2


def read_bytes(text: str) -> int:
    number = text.upper().removesuffix("B")
    unit = number[-1:] if number[-1:] in "KMGT" else ""
    try:
        return int(float(number.removesuffix(unit)) * UNITS[unit])
    except (ValueError, KeyError):
        raise SystemExit(f"memory must be a size such as 8GB, not {text!r}") from None
