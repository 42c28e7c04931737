"""TRL 1.13.0's PRM trainer on the rows of a file, in an environment of its own: `python _trl_prm.py SETTINGS.json`."""

import json
import sys
import time
from pathlib import Path
from typing import Any


def main() -> None:
    """Train as the settings say; print losses, when each step ended and its CPU seconds, as JSON on the last line."""
    said = json.loads(Path(sys.argv[1]).read_text())
    from datasets import Dataset
    from transformers import AutoModelForTokenClassification, AutoTokenizer
    from trl.experimental.prm import PRMConfig, PRMTrainer

    tokenizer = AutoTokenizer.from_pretrained(said["model"])
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    rows = [as_text(json.loads(line), tokenizer) for line in Path(said["rows"]).read_text().splitlines()]
    trainer = PRMTrainer(
        AutoModelForTokenClassification.from_pretrained(said["model"]),
        args=PRMConfig(**said["arguments"], step_separator="\n\n", output_dir=said["folder"], report_to="none"),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )
    clocks = watch(trainer)
    trainer.train()
    losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    ends, cpu = zip(*clocks, strict=True)
    print(json.dumps({"losses": losses, "ends": ends, "cpu": [b - a for a, b in zip((0.0, *cpu), cpu, strict=False)]}))


def as_text(row: dict, tokenizer: Any) -> dict:
    """The prompt as the text a chat template makes of it, without the beginning-of-text that TRL puts before it."""
    prompt = tokenizer.apply_chat_template(row["prompt"], tokenize=False, add_generation_prompt=True)
    return row | {"prompt": prompt.removeprefix(tokenizer.bos_token or "")}


def watch(trainer: Any) -> list[tuple[float, float]]:
    from transformers import TrainerCallback

    clocks: list[tuple[float, float]] = []

    class Watch(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            clocks.append((time.time(), time.process_time()))

    trainer.add_callback(Watch())
    return clocks


if __name__ == "__main__":
    main()
