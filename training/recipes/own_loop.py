"""What recipes with a training loop of their own share: the order of rows, the learning rate, curves, checkpoints."""

import math
import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from training.recipes import machine, rollouts
from training.recipes.best import Best
from training.recipes.clock import ASIDE
from training.recipes.config import BadConfig
from training.recipes.recorder import newest_checkpoint, pace, publish, step_of
from training.recipes.run import Diverged, Stop, numbers
from training.rewards import RewardFailed


class OwnLoop:
    """A training from its first or its newest saved step to its saved model. The recipe gives what a step does.

    Everything that chance decides is drawn from the seed and the step's number, so nothing of it need be saved: a run
    that was interrupted goes on exactly as if it had not been.
    """

    def __init__(self, session: Any) -> None:
        import psutil

        if machine.world_size() > 1:
            raise BadConfig(f"{session.run.recipe} trains in one process; start it in this interpreter (local)")
        self.session, self.run, self.config, self.clock = session, session.run, session.config, session.clock
        self.process, self.values, self.best = psutil.Process(), {}, Best(session.run)
        self.step = self.first = self.learned = self.tokens = 0
        self.began, self.tokens_then = time.time(), 0

    def resume(self, load: Callable[[Path], dict[str, Any]]) -> None:
        """Go on from the newest checkpoint, if there is one; `load` reads it and returns what `save` was given."""
        found = newest_checkpoint(self.run)
        self.best.load(Path(found) if found else None)
        if found:
            self.tokens = self.tokens_then = load(Path(found))["tokens"]
            self.step = self.first = self.learned = step_of(Path(found))
        self.began = time.time()
        self.clock.begin()
        print(f"training on {self.session.machine.label} from step {self.step} to {self.session.total}", flush=True)

    def run_through(self, learner: Any, prompts: int) -> None:
        """Step after step: the learner rolls out answers to so many prompts and learns from them. In between it is
        evaluated, shows completions, and saves; asked to stop, it saves and leaves. It ends where gold rises no more.
        When a reward fails for good, what was learned until then is saved first."""
        try:
            self.go_through(learner, prompts)
        except RewardFailed:
            if self.learned > self.first:
                self.step = self.learned
                self.checkpoint(lambda folder: learner.save(folder, self.tokens))
            raise

    def go_through(self, learner: Any, prompts: int) -> None:
        config, total, kept = self.config, self.session.total, rollouts.of_steps(self.session)
        if self.step == 0 and config.eval_on_start:
            self.evaluate(learner)
        while self.step < total and not Stop.asked and not self.best.ended:
            self.step += 1
            rollout = learner.roll_out(self.rows(prompts), self.step)
            values = learner.learn(rollout, self.step, total)
            self.tokens += rollout.tokens
            self.learned = self.step
            kept.keep(self.step, learner.groups(rollout))
            self.log(values)
            if config.sample_every and (self.due(config.sample_every) or Stop.asked or self.step == total):
                self.show(learner.shown(rollout))
            if self.due(config.eval_steps):
                self.evaluate(learner)
            if (self.due(config.save_steps) or Stop.asked) and not self.best.ended:
                self.checkpoint(lambda folder: learner.save(folder, self.tokens))
        if not Stop.asked and not self.best.ended:
            self.evaluate(learner)

    def evaluate(self, learner: Any) -> None:
        with self.clock(ASIDE):
            values = learner.drawing.evaluate()
            self.log(values, trained=False)
            self.best.hear(self.step, values, learner.actor.named_parameters)

    def show(self, records: list[dict[str, Any]]) -> None:
        with self.clock(ASIDE):
            for record in records:
                self.run.append("samples.jsonl", {"step": self.step} | record)

    def rows(self, count: int) -> list[dict[str, Any]]:
        """This step's rows: every pass goes through all of them in an order of its own."""
        known = self.session.train_rows.rows
        places = range((self.step - 1) * count, self.step * count)
        return [known[at] for at in order(len(known), places, self.config.seed)]

    def log(self, values: dict[str, Any], trained: bool = True) -> None:
        """A line of the curves. A step's line carries its `loss`, an evaluation's does not."""
        if not values:
            return  # nothing is held out
        if trained:
            values |= self.pace() | machine.use(self.process, self.session.machine.device)
        self.values |= values
        if trained and self.step % self.config.logging_steps and math.isfinite(values["loss"]):
            return
        self.run.metrics(self.step, self.session.total, self.eta(), values)
        if trained and not math.isfinite(values["loss"]):
            raise Diverged(f"the loss was {values['loss']} at step {self.step}")

    def pace(self) -> dict[str, float]:
        tokens, self.tokens_then = self.tokens - self.tokens_then, self.tokens
        return pace(self.clock.lap(), tokens) | {"num_tokens": self.tokens}

    def eta(self) -> float | None:
        done = self.step - self.first
        return (time.time() - self.began) / done * (self.session.total - self.step) if done > 0 else None

    def due(self, every: int) -> bool:
        return bool(every) and self.step % every == 0 and self.step < self.session.total

    def checkpoint(self, save: Callable[[Path], None]) -> None:
        """Whole or not at all."""
        folder = self.run.checkpoints / ".partial" / f"checkpoint-{self.step}"
        shutil.rmtree(folder, ignore_errors=True)
        with self.clock(ASIDE):
            folder.mkdir(parents=True)
            save(folder)
            self.best.save(folder)
            publish(self.run, folder.name)
            self.best.prune()

    def finish(self, actor: Any, save_beside: Callable[[Path], None] = lambda folder: None) -> None:
        """Save the model, the best by gold where there is one, and say how it went."""
        from training.recipes import weights

        stopped = self.step < self.session.total and not self.best.ended
        known = self.best.restore(self.step, actor.named_parameters())
        metrics, self.session.note = self.values | known | self.session.counts(), self.best.text(self.step)
        weights.save(self.session, actor.policy, metrics, save_beside)
        self.run.result(
            "stopped" if stopped else "succeeded", step=self.step, total=self.session.total, metrics=numbers(metrics),
            tokens=self.tokens, device=self.session.machine.label, savings=self.session.savings(),
            peak_memory=machine.peak_memory(self.session.machine.device),
            **self.best.result(self.step, self.session.total),
        )  # fmt: skip
        if not stopped:
            shutil.rmtree(self.run.checkpoints, ignore_errors=True)


def order(count: int, places: range, seed: int) -> list[int]:
    """Which of `count` rows stand at these places of an endless sequence of passes, each shuffled in its own way.

    >>> sorted(order(4, range(4, 8), seed=1)), order(4, range(4, 8), seed=1) == order(4, range(8), seed=1)[4:]
    ([0, 1, 2, 3], True)
    """
    passes = {at // count for at in places}
    shuffled = {number: random.Random(f"{seed} {number}").sample(range(count), count) for number in passes}
    return [shuffled[at // count][at % count] for at in places]


def learning_rate(config: Any, done: int, total: int) -> float:
    """Of the optimiser step after `done` of `total`, as transformers' schedulers have it.

    >>> from training.recipes.config import Common
    >>> [learning_rate(Common(warmup_ratio=0.5, lr_scheduler_type="linear"), at, 4) * 1e4 for at in range(4)]
    [0.0, 0.5, 1.0, 0.5]
    """
    warm = round(config.warmup_ratio * total)
    if done < warm:
        return config.learning_rate * done / max(1, warm)
    left = (total - done) / max(1, total - warm)
    shapes = {"linear": left, "cosine": 0.5 * (1 + math.cos(math.pi * (1 - left))), "constant_with_warmup": 1.0}
    return config.learning_rate * shapes[config.lr_scheduler_type]


def adamw(parameters: list[Any], config: Any) -> Any:
    import torch

    optimizer = torch.optim.AdamW(parameters, weight_decay=config.weight_decay, fused=True)
    machine.reserve_moments(optimizer)
    return optimizer


def update(optimizer: Any, config: Any, done: int, total: int) -> float:
    """The optimiser step after `done` of `total`; returns how long the gradient was."""
    from torch.nn.utils import clip_grad_norm_

    norm = clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], config.max_grad_norm)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(config, done, total)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return norm.item()


def save_state(folder: Path, parameters: dict[str, Any], optimizer: Any, said: dict[str, Any]) -> None:
    """Weights that learn, by name, and the moments of AdamW as safetensors; all else as JSON."""
    from safetensors.torch import save_file

    from training.recipes.run import write_json

    tensors = {f"weights/{name}": value.detach().contiguous() for name, value in parameters.items()}
    for name, parameter in parameters.items():
        moments = optimizer.state.get(parameter, {})
        tensors |= {f"{kind}/{name}": value.contiguous() for kind, value in moments.items()}
    save_file(tensors, folder / "state.safetensors")
    write_json(folder / "state.json", said)
    with (folder / "state.safetensors").open("rb") as file:
        os.fsync(file.fileno())


def load_state(folder: Path, parameters: dict[str, Any], optimizer: Any) -> dict[str, Any]:
    """Put back what `save_state` wrote, to the last bit; returns what it was told."""
    import json

    import torch
    from safetensors.torch import load_file

    for key, tensor in load_file(folder / "state.safetensors").items():
        kind, _, name = key.partition("/")
        parameter = parameters[name]
        if kind == "weights":
            with torch.no_grad():
                parameter.copy_(tensor)
        else:
            optimizer.state[parameter][kind] = tensor if kind == "step" else tensor.to(parameter.device)
    return json.loads((folder / "state.json").read_text())
