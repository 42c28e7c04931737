"""The rule against reward hacking: keep the weights of the best gold so far, end a run that gets no better."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FILE = "gold.json"  # of a checkpoint: a Record
WEIGHTS = "weights.safetensors"  # of checkpoints/best-STEP: all that learns, by name


@dataclass
class Record:
    """What evaluations have said of gold."""

    gold: float | None = None  # the best
    step: int = 0  # where it was
    values: dict[str, float] = field(default_factory=dict)  # all that this evaluation said
    without: int = 0  # evaluations since then
    last: float | None = None
    last_step: int = -1


class Best:
    """Hears every evaluation of a run. Without a gold reward it does nothing.

    A checkpoint holds the record, and what the records of checkpoints name is not deleted: a run that goes on from an
    older one finds the weights that were the best then.
    """

    def __init__(self, run: Any) -> None:
        self.run, config, self.record = run, run.config, Record()
        self.patience = getattr(config, "gold_patience", 0)
        self.keeps = bool(getattr(config, "gold", "").strip()) and config.keep_best_gold

    def hear(self, step: int, values: dict[str, Any], learning: Callable[[], dict[str, Any]]) -> None:
        """`learning` gives the parameters that learn, by name, as they were evaluated."""
        gold = values.get("eval_gold")
        if gold is None or step == self.record.last_step:
            return
        if self.record.gold is None or gold > self.record.gold:
            evaluated = {name: value for name, value in values.items() if name.startswith("eval_")}
            self.record = Record(gold, step, evaluated)
            if self.keeps and self.run.main:
                self.keep(learning())
        else:
            self.record.without += 1
        self.record.last, self.record.last_step = gold, step

    @property
    def ended(self) -> bool:
        """Whether patience is at its end."""
        return 0 < self.patience <= self.record.without

    def folder(self, step: int) -> Path:
        return self.run.checkpoints / f"best-{step}"

    def keep(self, learning: dict[str, Any]) -> None:
        """Whole or not at all."""
        from safetensors.torch import save_file

        folder = self.folder(self.record.step)
        partial = self.run.checkpoints / ".partial" / folder.name
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        save_file({name: value.detach().contiguous() for name, value in learning.items()}, partial / WEIGHTS)
        with (partial / WEIGHTS).open("rb") as file:
            os.fsync(file.fileno())
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(partial, folder)
        self.prune()

    def save(self, checkpoint: Path) -> None:
        """Beside all else that a run goes on from."""
        from training.recipes.run import write_json

        write_json(checkpoint / FILE, asdict(self.record))

    def load(self, checkpoint: Path | None) -> None:
        """Go on as the checkpoint has it; None: from the start."""
        said = checkpoint / FILE if checkpoint else None
        self.record = Record(**json.loads(said.read_text())) if said and said.exists() else Record()
        if self.keeps and self.record.gold is not None and not self.folder(self.record.step).exists():
            print(f"the weights with the best gold, of step {self.record.step}, are gone; begins anew", flush=True)
            self.record = Record()
        self.prune()

    def prune(self) -> None:
        """Delete weights that neither this run nor one that goes on from a checkpoint could ask for."""
        if not self.run.main:
            return
        said = (json.loads(path.read_text()) for path in self.run.checkpoints.glob(f"checkpoint-*/{FILE}"))
        asked = {self.folder(step) for step in (self.record.step, *(one["step"] for one in said))}
        for folder in set(self.run.checkpoints.glob("best-*")) - asked:
            shutil.rmtree(folder)

    def restore(self, step: int, learning: dict[str, Any]) -> dict[str, float]:
        """At the end, after `step`: put the best weights in place of the last ones. Returns what is known of them."""
        if not self.is_earlier(step) or not self.run.main:
            return {}
        import torch
        from safetensors.torch import load_file

        with torch.no_grad():
            for name, value in load_file(self.folder(self.record.step) / WEIGHTS).items():
                learning[name].copy_(value)
        return self.record.values

    def is_earlier(self, step: int) -> bool:
        """Whether the model that is kept is not that of the last step."""
        return self.keeps and self.record.gold is not None and self.record.step != step

    def result(self, step: int, total: int) -> dict[str, Any]:
        """What result.json says of gold: numbers, a sentence, and why the run ended where gold ended it."""
        if self.record.gold is None:
            return {}
        best, last = self.record, self.record.last
        told = {"best": best.gold, "step": best.step, "last": last, "last_step": best.last_step}
        return {
            "gold": told | {"kept": self.keeps, "text": self.text(step)},
            "reason": self.why_ended() if self.ended and step < total else "",
        }

    def text(self, step: int) -> str:
        """As people read it."""
        best = self.record
        if best.gold is None:
            return ""
        beside = "the last step" if best.last_step == step else f"the last evaluation, at step {best.last_step},"
        compared = f"; {beside} had {best.last:.3g}" if best.step != best.last_step else ""
        text = f"best by gold: step {best.step}, gold {best.gold:.3g}{compared}"
        return text if self.keeps or not compared else f"{text} and is what was kept (keep_best_gold is off)"

    def why_ended(self) -> str:
        best = self.record
        return f"gold was no better than {best.gold:.3g} (step {best.step}) at {best.without} evaluations in a row"
