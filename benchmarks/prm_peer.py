"""Our process reward model recipe against TRL 1.13.0's trainer: the same rows, model and fp32, in turns.

python -m benchmarks prm_peer                    # the starter model of STUDIO_HOME; makes the peer's environment there
BENCH_MODEL=/folder BENCH_LAYERS=6 BENCH_RUNS=3 BENCH_ROWS=48 BENCH_PEER=/python/with/trl python -m benchmarks prm_peer

BENCH_LAYERS keeps the model's first layers only: on a small machine a step of all of them takes half a minute.
"""

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

RUNS = int(os.environ.get("BENCH_RUNS", 3))
ROWS = int(os.environ.get("BENCH_ROWS", 48))
LAYERS = int(os.environ.get("BENCH_LAYERS", 0))  # 0: all
BATCH = 8
HOME = Path(os.environ.get("STUDIO_HOME", ".studio"))
SETTINGS = {"learning_rate": 1e-5, "per_device_train_batch_size": BATCH, "lr_scheduler_type": "constant_with_warmup"}
SPINLESS = {"OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}  # for both
PACKAGES = ("torch==2.13.0", "trl==1.13.0")


def main() -> None:
    start, peer = starting_model(), peer_environment("trl-1.13.0", PACKAGES)
    with tempfile.TemporaryDirectory() as folder:
        model = with_random_head(start, Path(folder) / "model")
        same = losses_on_one_batch(model, Path(folder), peer)
        print(
            json.dumps(
                {
                    "benchmark": "prm_peer",
                    "model": start.name,
                    "layers": LAYERS or "all",
                    **same,
                    **speed(model, Path(folder), peer),
                }
            )
        )


def starting_model() -> Path:
    model = Path(os.environ.get("BENCH_MODEL") or next(iter(sorted(HOME.glob("models/*smollm2*"))), ""))
    if not (model / "config.json").is_file():
        raise SystemExit("No model to start from: set BENCH_MODEL to a folder, or make the starter model first.")
    return model.resolve()


def peer_environment(name: str, packages: tuple[str, ...]) -> str:
    """A Python with the peer's packages; made once, in the studio's cache."""
    if os.environ.get("BENCH_PEER"):
        return os.environ["BENCH_PEER"]
    folder = HOME.resolve() / "cache" / name
    python = folder / "bin" / "python"
    if not (folder / "whole").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        pinned = (Path(__file__).parents[1] / "constraints.txt").read_text().splitlines()
        (folder / "constraints.txt").write_text("\n".join(line for line in pinned if not line.startswith("trl==")))
        command = [str(python), "-m", "pip", "install", "--quiet", "-c", str(folder / "constraints.txt"), *packages]
        subprocess.run(command, check=True, stdout=sys.stderr)
        (folder / "whole").touch()
    return str(python)


def with_random_head(start: Path, folder: Path) -> Path:
    """The base model with a head that says something: both trainers begin with the same numbers."""
    code = (
        "import sys, torch; from transformers import AutoModelForTokenClassification, AutoTokenizer\n"
        "torch.manual_seed(0); start, folder, layers = sys.argv[1:]\n"
        "kept = {'num_hidden_layers': int(layers)} if int(layers) else {}\n"
        "model = AutoModelForTokenClassification.from_pretrained(start, num_labels=2, dtype=torch.float32, **kept)\n"
        "torch.nn.init.normal_(model.score.weight, std=0.02); model.save_pretrained(folder)\n"
        "AutoTokenizer.from_pretrained(start).save_pretrained(folder)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(start), str(folder), str(LAYERS)], check=True, capture_output=True)
    return folder


def losses_on_one_batch(model: Path, folder: Path, peer: str) -> dict:
    """Four steps on the same eight rows: batches are then the same whatever their order."""
    rows = list(traces(BATCH))
    ours = by_us(model, folder / "same", rows, max_steps=4)["losses"]
    theirs = by_trl(peer, model, folder / "same-trl", rows, max_steps=4, gradient_checkpointing=False)["losses"]
    apart = max(abs(a - b) for a, b in zip(ours, theirs, strict=True))
    return {"losses": [round(loss, 4) for loss in ours], "loss_difference": round(apart, 6)}


def speed(model: Path, folder: Path, peer: str) -> dict:
    """The second of two passes over the rows: ours, the peer as it is, and with its recomputation off.

    Seconds of CPU say the same on a busy machine, where seconds by the clock do not.
    """
    rows, passes = list(traces(ROWS)), []
    for run in range(RUNS):
        made = {
            "ours": by_us(model, folder / f"ours-{run}", rows, num_train_epochs=2.0),
            "trl": by_trl(peer, model, folder / f"trl-{run}", rows, num_train_epochs=2),
            "trl_no_checkpointing": by_trl(
                peer, model, folder / f"plain-{run}", rows, num_train_epochs=2, gradient_checkpointing=False
            ),
        }
        passes.append({name: second_pass(found) for name, found in made.items()})
    figures = {}
    for clock in ("s", "cpu_s"):
        for name in passes[0]:
            figures[f"{name}_{clock}"] = round(statistics.median(run[name][clock] for run in passes), 2)
        for name in ("trl", "trl_no_checkpointing"):
            ratio = statistics.median(run[name][clock] / run["ours"][clock] for run in passes)
            figures[f"times_{name}_{clock}"] = round(ratio, 2)
    return {"rows": ROWS, "batch": BATCH, "runs": RUNS, **figures}


def second_pass(found: dict) -> dict[str, float]:
    half = len(found["ends"]) // 2
    return {"s": found["ends"][-1] - found["ends"][half - 1], "cpu_s": sum(found["cpu"][half:])}


def by_us(model: Path, folder: Path, rows: list[dict], **settings) -> dict:
    write_rows(folder / "dataset" / "train.jsonl", rows)
    chosen = {"lora": False, "precision": "fp32", "warmup_ratio": 0.0, "save_steps": 0, **SETTINGS, **settings}
    config = {"recipe": "prm", "base_model": str(model), "device": "cpu", "settings": chosen, "versions": {}}
    (folder / "config.json").write_text(json.dumps(config))
    run([sys.executable, "-m", "training.recipes.prm", str(folder)])
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "loss" in line["values"]]
    ends, used = ([line["time"] for line in steps], [line["values"]["cpu_percent"] / 100 for line in steps])
    cpu = [share * (end - before) for share, end, before in zip(used, ends, [ends[0], *ends], strict=False)]
    return {"losses": [line["values"]["loss"] for line in steps], "ends": ends, "cpu": cpu}


def by_trl(peer: str, model: Path, folder: Path, rows: list[dict], **settings) -> dict:
    write_rows(folder / "train.jsonl", rows)
    same = {"bf16": False, "use_cpu": True, "warmup_steps": 0, "logging_steps": 1, "save_strategy": "no"}
    same |= {"dataloader_pin_memory": False, "disable_tqdm": True} | SETTINGS | settings
    said = {"model": str(model), "rows": str(folder / "train.jsonl"), "folder": str(folder / "out"), "arguments": same}
    (folder / "settings.json").write_text(json.dumps(said))
    script = Path(__file__).with_name("_trl_prm.py")
    return json.loads(run([peer, str(script), str(folder / "settings.json")]).splitlines()[-1])


def run(command: list[str], **environment: str) -> str:
    done = subprocess.run(command, env=os.environ | SPINLESS | environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command[:3])} failed:\n{done.stderr[-3000:]}")
    return done.stdout


def write_rows(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def traces(count: int, seed: int = 0):
    """Running sums of 2 to 14 numbers, one a step; in half of them a step goes wrong, and what follows with it."""
    chance = random.Random(seed)
    for at in range(count):
        numbers = [chance.randrange(2, 60) for _ in range(chance.randrange(3, 16))]
        wrong = chance.randrange(1, len(numbers)) if at % 2 else len(numbers)
        total, steps = numbers[0], []
        for place, number in enumerate(numbers[1:], 1):
            sum_now = total + number + (chance.choice((-10, -1, 1, 10)) if place == wrong else 0)
            steps.append(f"We add the next number, {number}, to what we have: {total} + {number} = {sum_now}.")
            total = sum_now
        prompt = [{"role": "user", "content": f"Add up these numbers: {', '.join(map(str, numbers))}."}]
        yield {"prompt": prompt, "completions": steps, "labels": [n < wrong for n in range(1, len(numbers))]}


if __name__ == "__main__":
    main()
