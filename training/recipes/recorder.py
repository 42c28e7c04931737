"""Follows a trainer: curves, samples, stopping, and checkpoints that exist whole or not at all."""

import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from training.recipes import machine
from training.recipes.best import Best
from training.recipes.clock import ASIDE
from training.recipes.run import Diverged, Run, Stop


class Recorder:
    """A TRL trainer's callback (see `attach`); every process has one, the main one writes."""

    def __init__(self, trainer: Any, session: Any, sample: Any) -> None:
        import psutil

        self.trainer, self.run, self.clock, self.draw = trainer, session.run, session.clock, sample
        self.label, self.device = session.machine.label, session.machine.device
        self.process, self.values, self.best = psutil.Process(), {}, Best(session.run)
        self.tokens = self.tokens_before = self.first_step = 0
        self.began = time.time()
        self.mark = (0, 0)  # at which step, after how many tokens the last line was written

    def on_train_begin(self, args: Any, state: Any, control: Any, optimizer: Any, **_: Any) -> None:
        Stop.first_step()
        machine.reserve_moments(optimizer)
        self.first_step, self.began = state.global_step, time.time()
        self.tokens = tokens_until(self.run, state.global_step) if state.global_step else 0
        self.tokens_before = 0 if state.num_input_tokens_seen else self.tokens  # some trainers go on counting
        self.mark = (state.global_step, self.tokens)
        self.clock.begin()
        if self.run.main:
            print(f"training on {self.label} from step {state.global_step} to {state.max_steps}", flush=True)

    def on_pre_optimizer_step(self, *_: Any, **__: Any) -> None:
        self.update = self.clock("learn")
        self.update.__enter__()

    def on_optimizer_step(self, *_: Any, **__: Any) -> None:
        self.update.__exit__(None, None, None)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if agree(self.trainer, Stop.asked):
            Stop.asked = True
            control.should_save = control.should_training_stop = control.should_log = True
        every = self.run.config.sample_every
        if every and state.global_step % every == 0 and state.global_step < state.max_steps:
            self.sample()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:
        if "train_runtime" in logs:
            return
        noise = ("_runtime", "_per_second", "total_flos", "eval_num_tokens", "_preparation_time")
        values = {k: v for k, v in logs.items() if isinstance(v, int | float) and not k.endswith(noise)}
        if "loss" in values:
            values |= self.pace(state, values) | machine.use(self.process, self.device)
        self.values |= values
        self.run.metrics(state.global_step, args.max_steps, self.eta(state), values)
        self.best.hear(state.global_step, values, self.learning)
        if "loss" in values and not math.isfinite(values["loss"]):
            raise Diverged(f"the loss was {values['loss']} at step {state.global_step}")

    def pace(self, state: Any, values: dict[str, Any]) -> dict[str, float]:
        step, tokens = self.mark
        self.tokens = self.tokens_before + int(values.get("num_tokens", 0))
        self.mark = (state.global_step, self.tokens)
        steps = max(1, state.global_step - step)
        return pace(self.clock.lap(steps), (self.tokens - tokens) / steps) | {"num_tokens": self.tokens}

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.best.ended:
            control.should_training_stop, control.should_save = True, False

    def learning(self) -> dict[str, Any]:
        """What a training changes, by name."""
        model = self.trainer.accelerator.unwrap_model(self.trainer.model)
        return {name: value for name, value in model.named_parameters() if value.requires_grad}

    def eta(self, state: Any) -> float | None:
        done = state.global_step - self.first_step
        return (time.time() - self.began) / done * (state.max_steps - state.global_step) if done > 0 else None

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The trainer wrote into `.partial`; only the rename makes it a checkpoint, and then older ones go."""
        self.trainer.accelerator.wait_for_everyone()
        if self.run.main:
            name = f"checkpoint-{state.global_step}"
            self.best.save(self.run.checkpoints / ".partial" / name)
            publish(self.run, name)
            self.best.prune()

    def save(self) -> None:
        """A checkpoint out of turn. Of several processes the others may be waiting elsewhere: then there is none."""
        if self.trainer.state.global_step > self.first_step and machine.world_size() == 1:
            self.trainer._save_checkpoint(self.trainer.model, trial=None)
            self.on_save(self.trainer.args, self.trainer.state, self.trainer.control)

    def sample(self) -> None:
        if self.run.main and self.run.config.samples and self.run.config.sample_every:
            with self.clock(ASIDE):
                for record in self.draw(self.trainer):
                    self.run.append("samples.jsonl", {"step": self.trainer.state.global_step} | record)


Sampler = Callable[[Any], Iterator[dict[str, Any]]]  # a trainer in, records for samples.jsonl out


SPANS = {"training_step": "learn", "_prepare_inputs": "other", "_clip_grad_norm": "learn"}
SPANS |= {"evaluate": ASIDE, "_save_checkpoint": ASIDE}


def attach(trainer: Any, session: Any, sample: Sampler) -> Recorder:
    """Make a Recorder a callback of the trainer, in place of the one that prints raw dictionaries, and clock it."""
    from transformers import PrinterCallback, TrainerCallback

    recorder = type("RecorderCallback", (Recorder, TrainerCallback), {})(trainer, session, sample)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(recorder)
    for name, what in SPANS.items():
        setattr(trainer, name, session.clock(what)(getattr(trainer, name)))
    return recorder


def pace(times: dict[str, float], tokens: float) -> dict[str, float]:
    """How fast a step of so many tokens was."""
    seconds = sum(times.values())
    return {"tokens_per_second": tokens / max(seconds, 1e-9), "seconds_per_step": seconds} | times


def agree(trainer: Any, flag: bool) -> bool:
    """True on every process as soon as one says so; a signal reaches them at different steps."""
    if trainer.accelerator.num_processes == 1:
        return flag
    import torch

    return bool(trainer.accelerator.gather(torch.tensor([int(flag)], device=trainer.accelerator.device)).max())


def publish(run: Run, name: str) -> None:
    """Make what was written into `.partial` a checkpoint, and let older ones go."""
    shutil.rmtree(run.checkpoints / name, ignore_errors=True)
    os.replace(run.checkpoints / ".partial" / name, run.checkpoints / name)
    for old in sorted(run.checkpoints.glob("checkpoint-*"), key=step_of)[:-2]:
        shutil.rmtree(old)


def newest_checkpoint(run: Run) -> str | None:
    """The checkpoint to resume from. What lies in `.partial` was being written when the training died."""
    if run.main:
        shutil.rmtree(run.checkpoints / ".partial", ignore_errors=True)
    found = sorted(run.checkpoints.glob("checkpoint-*"), key=step_of)
    return str(found[-1]) if found else None


def step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def tokens_until(run: Run, step: int) -> int:
    """Tokens seen up to `step`, as an earlier start of this run wrote them down."""
    path, seen = run.dir / "metrics.jsonl", 0
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            record = json.loads(line)
        except ValueError:
            continue  # torn by a kill
        seen = record["values"].get("num_tokens", seen) if record["step"] <= step else seen
    return seen
