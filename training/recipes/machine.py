"""What this machine offers a training: device, precision, threads, memory. Without torch where that is possible."""

import ctypes
import os
import resource
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.recipes.config import BadConfig

BUSY = 25  # percent of all cores


@dataclass(frozen=True)
class Machine:
    device: str  # "cpu" or "cuda"
    precision: str  # "fp32" or "bf16"
    label: str  # "cpu bf16 2 threads"


def cores() -> int:
    """Cores this process may use: its affinity, and a container's quota."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = Path("/sys/fs/cgroup/cpu.max")
    limit, period = quota.read_text().split() if quota.exists() else ("max", "100000")
    return allowed if limit == "max" else max(1, min(allowed, int(limit) // int(period)))


def cpu_flags() -> set[str]:
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return set()
    line = next((line for line in info.read_text().splitlines() if line.startswith("flags")), "")
    return set(line.partition(":")[2].split())


def cpu_has_bf16() -> bool:
    """Whether matrix products are faster in bf16 than in fp32; emulated bf16 is slower."""
    return bool({"amx_bf16", "avx512_bf16"} & cpu_flags())


def world_size() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main_process() -> bool:
    return int(os.environ.get("RANK", "0")) == 0


def prepare(base_model: str, device: str) -> None:
    """Set what libraries read from the environment while they are imported. Call before torch is."""
    os.environ.setdefault("OMP_NUM_THREADS", str(cores()))
    if "OMP_WAIT_POLICY" not in os.environ and others_at_work():
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ |= {"HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    if Path(base_model).is_dir():
        os.environ["HF_HUB_OFFLINE"] = "1"  # a local model: no library needs to ask a hub about it
    if device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    elif "LOCAL_RANK" not in os.environ:  # without a launcher TRL refuses more than one visible GPU
        os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    keep_freed_memory()


def others_at_work() -> bool:
    """Whether this machine's cores are busy. Threads that stay awake between products, as OpenMP has them, make small
    models half as fast again; where cores are shared, they hold up everybody."""
    import psutil

    return psutil.cpu_percent(interval=0.3) > BUSY


def without_thread_cache() -> None:
    """Start this process anew, under its own number, with glibc's cache of small blocks off. Large blocks leave their
    remainders in there and are not found again when freed: each step would take fresh memory, and to touch that for the
    first time takes as long as to compute with it."""
    known, off = os.environ.get("GLIBC_TUNABLES", ""), "glibc.malloc.tcache_count"
    if sys.platform == "linux" and off not in known:
        os.environ["GLIBC_TUNABLES"] = ":".join(filter(None, [known, f"{off}=0"]))
        os.execv(sys.executable, sys.orig_argv)


def keep_freed_memory() -> None:
    """Ask glibc to keep freed blocks and to join them: each step takes the same ones again."""
    libc = ctypes.CDLL(None)
    if sys.platform != "linux" or not hasattr(libc, "mallopt"):
        return
    trim_threshold, mmap_max, fast = -1, -4, 1
    libc.mallopt(mmap_max, 0)
    libc.mallopt(trim_threshold, -1)
    libc.mallopt(fast, 0)


def reserve_moments(optimizer: Any) -> None:
    """Have AdamW's moments in memory before anything passes: taken after a step they would lie among what it has
    freed, and the next one would not fit between them. Moments that are there stay."""
    import torch

    for parameter in (one for group in optimizer.param_groups for one in group["params"]):
        if parameter.device.type == "cpu" and parameter not in optimizer.state:
            moments = {kind: torch.zeros_like(parameter) for kind in ("exp_avg", "exp_avg_sq")}
            optimizer.state[parameter] = {"step": torch.tensor(0.0)} | moments


def choose(device: str, precision: str) -> Machine:
    """Resolve "auto". Raises BadConfig where a GPU was asked for and none is there."""
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise BadConfig("device cuda was asked for, but no CUDA device is usable here")
    device = "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
    if device == "cuda":
        fast = torch.cuda.is_bf16_supported()
        what = f"{torch.cuda.get_device_name()} × {world_size()}"
    else:
        fast = cpu_has_bf16()
        what = f"{torch.get_num_threads()} threads" + (f" × {world_size()}" if world_size() > 1 else "")
    precision = ("bf16" if fast else "fp32") if precision == "auto" else precision
    return Machine(device, precision, f"{device} {precision} {what}")


def savings(device: str) -> list[str]:
    """What `prepare` came to, for people."""
    awake = device == "cpu" and os.environ.get("OMP_WAIT_POLICY") != "PASSIVE"
    return ["threads stay awake between products, as nobody else was at work"] if awake else []


def available_memory(device: str) -> int:
    if device == "cuda":
        import torch

        return torch.cuda.mem_get_info()[0]
    return available_ram()


def available_ram() -> int:
    """Bytes free for a new process, a container's limit counted."""
    import psutil

    free = psutil.virtual_memory().available
    limit, used = (Path("/sys/fs/cgroup") / name for name in ("memory.max", "memory.current"))
    if limit.exists() and used.exists() and limit.read_text().strip() != "max":
        free = min(free, max(0, int(limit.read_text()) - int(used.read_text())))
    return free


def use(process: Any, device: str) -> dict[str, float]:
    """Machine use for the curves: `process` is this process as psutil sees it."""
    found = {"rss_bytes": process.memory_info().rss, "cpu_percent": process.cpu_percent()}
    if device == "cuda":
        import torch

        found["gpu_memory_bytes"] = torch.cuda.memory_allocated()
    return found


def peak_memory(device: str) -> int:
    """Most bytes held at once: on the GPU if there is one, else of this process."""
    if device == "cuda":
        import torch

        return torch.cuda.max_memory_allocated()
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
