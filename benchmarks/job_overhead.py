"""What the job engine costs: the same recipe, settings and rows by hand and through the studio, in turns.

python -m benchmarks job_overhead              # the starter model of STUDIO_HOME
BENCH_MODEL=/folder BENCH_RUNS=3 BENCH_STEPS=20 python -m benchmarks job_overhead
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.launch_latency import model_folder, run_dir, studio, wait_for_end

RUNS = int(os.environ.get("BENCH_RUNS", 3))
STEPS = int(os.environ.get("BENCH_STEPS", 20))
SETTINGS = {"max_steps": STEPS, "per_device_train_batch_size": 4, "max_length": 512, "save_steps": 0}


def main() -> None:
    name = model_folder().name
    with studio() as (dataset, base, user), tempfile.TemporaryDirectory() as folder:
        pairs = [(through_the_studio(dataset, base, user), by_hand(Path(folder) / str(n))) for n in range(RUNS)]
    ours, hand = zip(*pairs, strict=True)
    figures = {
        "studio_s": statistics.median(run["wall"] for run in ours),
        "by_hand_s": statistics.median(run["wall"] for run in hand),
        "overhead": statistics.median(a["wall"] / b["wall"] - 1 for a, b in pairs),
        "trainer_cpu_share": statistics.median(run["trainer_cpu"] / run["wall"] for run in ours),
        "overhead_of_a_step": statistics.median(a["step"] / b["step"] - 1 for a, b in pairs),
    }
    rounded = {name: round(value, 4) for name, value in figures.items()}
    print(json.dumps({"benchmark": "job_overhead", "model": name, "steps": STEPS, "runs": RUNS, **rounded}))


def through_the_studio(dataset, base, user) -> dict[str, float]:
    """From launch() until the job's model is registered."""
    from training.jobs import launch

    trainer = psutil.Process().children()[0]
    begun, cpu = time.time(), cpu_of(trainer)
    job = launch(user, dataset, "dpo", base, SETTINGS, name="overhead")
    wait_for_end(job)
    through_the_studio.last = run_dir(job)
    wall, step = job.finished.timestamp() - begun, step_seconds(run_dir(job))
    return {"wall": wall, "step": step, "trainer_cpu": cpu_of(trainer) - cpu}


def cpu_of(process: psutil.Process) -> float:
    """Seconds of processor the trainer itself has used: following and registering, not training."""
    used = process.cpu_times()
    return used.user + used.system


def by_hand(folder: Path) -> dict[str, float]:
    """The same config.json and rows, started from a shell."""
    source = through_the_studio.last
    folder.mkdir()
    shutil.copy(source / "config.json", folder)
    shutil.copytree(source / "dataset", folder / "dataset")
    begun = time.time()
    with (folder / "log.txt").open("wb") as log:
        command = [sys.executable, "-m", "training.recipes.dpo", str(folder)]
        subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=True)
    return {"wall": time.time() - begun, "step": step_seconds(folder)}


def step_seconds(folder: Path) -> float:
    """Median seconds of a step after the first, as the recipe noted them."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    times = [line["time"] for line in lines if "loss" in line["values"]]
    return statistics.median(b - a for a, b in zip(times, times[1:], strict=False))


if __name__ == "__main__":
    main()
