"""Start the model server: `python -m training.server --port 8001`."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from pathlib import Path

ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    # Threads that spin while they wait make a token thirty times slower once training shares the cores.
    "OMP_WAIT_POLICY": "PASSIVE",
}
for name, value in ENVIRONMENT.items():
    os.environ.setdefault(name, value)  # here, because the libraries read them when they are imported


def main(arguments: list[str] | None = None) -> None:
    import uvicorn

    from training.server.app import create_app

    chosen = parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    app = create_app(options_from(chosen), os.environ.get("STUDIO_SERVER_TOKEN", ""))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn passes the signal on once it has finished
    quiet = {"access_log": False, "log_level": "warning"}
    uvicorn.run(app, host=chosen.host, port=chosen.port, timeout_graceful_shutdown=chosen.grace, **quiet)


def parser() -> argparse.ArgumentParser:
    home = os.environ.get("STUDIO_HOME", "")
    parser = argparse.ArgumentParser("python -m training.server", description=__doc__)

    def add(name: str, default: str | int, help: str, env: str = "") -> None:
        env = env or f"STUDIO_SERVER_{name.upper()}"
        given = os.environ.get(env) or default
        parser.add_argument(f"--{name}", default=given, type=type(default), help=f"{help} ({env}; {default or 'none'})")

    add("host", "127.0.0.1", "address to listen on")
    add("port", 8001, "port to listen on")
    add("models", str(Path(home or ".", "models")), "folder whose subfolders are the models", env="STUDIO_MODELS")
    add("allow", str(Path(home, "runs")) if home else "", f"more folders, set apart by {os.pathsep!r}, whose models "
        "may be asked for by absolute path")  # fmt: skip
    add("device", "auto", "auto, cpu, cuda, cuda:1, mps")
    add(
        "dtype",
        "auto",
        "auto, float32, bfloat16, float16; auto is what the device is fast at, float32 for rewards on a CPU",
    )
    add("memory", "auto", "weights held at once, such as 8GB; auto is half of the RAM, or most of the GPU's memory")
    add("rows", 0, "completions of one model decoded together; 0 is 16 on a CPU, 64 on a GPU")
    add("room", "1GB", "keys and values that the rollouts of one model may hold; more room, more rows at once")
    add("queue", 64, "requests that may wait for one model before more are sent away with 503")
    add("max-tokens", 1024, "longest completion where the request names none", env="STUDIO_SERVER_MAX_TOKENS")
    add("threads", 0, "CPU threads; 0 leaves the choice to torch")
    add("grace", 30, "seconds that running requests have to end after SIGTERM")
    return parser


def options_from(chosen: argparse.Namespace):
    from training.server.devices import device_of, dtype_of, memory_of, read_bytes
    from training.server.folders import Options

    device = device_of(chosen.device, chosen.threads)
    on_cpu = device == "cpu"
    dtype = dtype_of(chosen.dtype, device)
    return Options(
        models=Path(chosen.models).resolve(),
        allowed=tuple(Path(folder).resolve() for folder in chosen.allow.split(os.pathsep) if folder),
        device=device,
        dtype=dtype,
        score_dtype="float32" if on_cpu and chosen.dtype == "auto" else dtype,
        as_stored=on_cpu and chosen.dtype == "auto",
        memory=memory_of(chosen.memory, device),
        rows=chosen.rows or (16 if on_cpu else 64),
        room=read_bytes(chosen.room),
        queue=chosen.queue,
        max_tokens=chosen.max_tokens,
    )


if __name__ == "__main__":
    main()
