"""What all recipes share around TRL's trainers: rows, arguments for this machine, the run from start to saved model."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from training.engine import recompute, sharing, table
from training.recipes import head, machine, rows, source_of, trunk, weights
from training.recipes.chat import Chat
from training.recipes.clock import Clock
from training.recipes.estimate import needs_checkpointing, pass_tokens, shape_of, steps_of
from training.recipes.recorder import Sampler, attach, newest_checkpoint
from training.recipes.run import Run, numbers
from training.rewards import RewardFailed

NEW_TOKENS = 96  # of a sample


class Session:
    """A run with its machine, tokenizer and rows: what a recipe needs before it makes its trainer."""

    def __init__(self, run: Run, kind: str) -> None:
        self.run, self.config, self.kind = run, run.config, kind
        self.machine = machine.choose(run.device, self.config.precision)
        self.clock = Clock(self.machine.device)
        self.chat, source = Chat(run.base_model), source_of(kind)
        self.train_rows, self.eval_rows = (
            source.keep(source.load(run.dir / "dataset" / name, kind), self.chat, self.config)
            for name in ("train.jsonl", "eval.jsonl")
        )
        if not self.train_rows.rows:
            raise rows.BadData(no_rows(self.train_rows, self.config.max_length))
        self.count()
        self.tokenizer = weights.load_tokenizer(run.base_model)
        self.quickened, self.tallies, self.saves = False, [], machine.savings(self.machine.device)
        self.marks: dict[str, Any] = {}  # what the saved config.json says beside what transformers writes there
        self.note = ""  # what the model's card says of how its weights were chosen

    def count(self) -> None:
        """How many optimiser steps these rows make."""
        self.total = steps_of(self.config, len(self.train_rows.examples), machine.world_size())

    @property
    def dtype(self) -> str:
        """Weights that stay frozen may be bf16; weights that learn are fp32, computed with in bf16 where chosen."""
        return "bfloat16" if self.config.lora and self.machine.precision == "bf16" else "float32"

    def adapter(self, model: Any, task: str, **options: Any) -> Any | None:
        """The LoRA to train, over every linear layer of the last `lora_layers` blocks; None: train all weights."""
        if not self.config.lora:
            return None
        from peft import LoraConfig

        depth, last = model.config.get_text_config().num_hidden_layers, self.config.lora_layers
        only = list(range(depth - last, depth)) if 0 < last < depth else None
        return LoraConfig(
            r=self.config.lora_r, lora_alpha=self.config.lora_alpha, lora_dropout=0.0, bias="none",
            task_type=task, target_modules=weights.linear_layers(model), layers_to_transform=only, **options,
        )  # fmt: skip

    def datasets(self) -> dict[str, Any]:
        from datasets import Dataset, disable_progress_bars

        disable_progress_bars()
        held_out = Dataset.from_list(self.eval_rows.rows) if self.eval_rows.rows else None
        return {"train_dataset": Dataset.from_list(self.train_rows.rows), "eval_dataset": held_out}

    def arguments(self) -> dict[str, Any]:
        """TRL's arguments for the machine found, with its traps set right."""
        config, cpu = self.config, self.machine.device == "cpu"
        return {
            "output_dir": str(self.run.checkpoints / ".partial"),
            "use_cpu": cpu, "bf16": self.machine.precision == "bf16", "dataloader_pin_memory": not cpu,
            "gradient_checkpointing": self.gradient_checkpointing(), "report_to": "none", "disable_tqdm": True,
            "learning_rate": config.learning_rate, "lr_scheduler_type": config.lr_scheduler_type,
            "warmup_steps": round(config.warmup_ratio * self.total), "weight_decay": config.weight_decay,
            "max_grad_norm": config.max_grad_norm, "max_steps": self.total, "seed": config.seed,
            "per_device_train_batch_size": config.per_device_train_batch_size,
            "per_device_eval_batch_size": self.eval_batch(),
            "gradient_accumulation_steps": config.gradient_accumulation_steps,
            "logging_steps": config.logging_steps, "logging_nan_inf_filter": False,
            "eval_strategy": "steps" if config.eval_steps and self.eval_rows.rows else "no",
            "eval_steps": config.eval_steps or None, "eval_on_start": False,
            "save_strategy": "steps" if config.save_steps else "no", "save_steps": config.save_steps or 500,
        }  # fmt: skip

    def gradient_checkpointing(self) -> bool:
        if self.config.gradient_checkpointing != "auto":
            return self.config.gradient_checkpointing == "on"
        cpu = self.machine.device == "cpu"
        tokens = pass_tokens(
            max(self.train_rows.tokens), self.config.per_device_train_batch_size, cpu and self.kind == "pairs"
        )
        free, half = machine.available_memory(self.machine.device), self.machine.precision == "bf16"
        return needs_checkpointing(shape_of(self.run.base_model), tokens, free, self.config.lora, half, cpu)

    def eval_batch(self) -> int:
        """Metrics are means over batches, so on few rows only equal batches give the mean over rows."""
        count, wanted = len(self.eval_rows.rows), self.config.per_device_train_batch_size
        if count > 64 * wanted:
            return wanted
        return max(size for size in range(1, wanted + 1) if count % size == 0 or size == 1)

    def fit(self, trainer: Any, sample: Sampler) -> None:
        """Evaluate, train (from the newest checkpoint, if there is one), evaluate, save, and say how it went."""
        recorder = attach(trainer, self, sample)
        trainer.create_model_card = lambda *_, **__: None  # ours is written once, with the model
        self.quicken(trainer)
        resume, best = newest_checkpoint(self.run), recorder.best
        best.load(Path(resume) if resume else None)
        if trainer.eval_dataset is not None and resume is None and self.config.eval_on_start:
            trainer.evaluate()
        try:
            trainer.train(resume_from_checkpoint=resume)
            step = trainer.state.global_step
            stopped = step < self.total and not best.ended
            if trainer.eval_dataset is not None and not stopped and not best.ended:
                trainer.evaluate()
        except RewardFailed:
            recorder.save()
            raise
        recorder.sample()
        known = recorder.values | best.restore(step, recorder.learning())
        metrics = {name: value for name, value in known.items() if name != "epoch"} | self.counts()
        self.note = best.text(step)
        weights.save(self, trainer.accelerator.unwrap_model(trainer.model), metrics)
        trainer.accelerator.wait_for_everyone()
        self.run.result(
            "stopped" if stopped else "succeeded", step=step, total=self.total, metrics=numbers(metrics),
            tokens=recorder.tokens, device=self.machine.label, savings=self.savings(),
            peak_memory=machine.peak_memory(self.machine.device), **best.result(step, self.total),
        )  # fmt: skip
        if self.run.main and not stopped:
            shutil.rmtree(self.run.checkpoints, ignore_errors=True)  # a finished training has nothing to resume

    def quicken(self, trainer: Any) -> None:
        """On a CPU: a leaner language-model head, shared prompts and frozen layers passed once, no casts around the
        adapter."""
        if self.machine.device != "cpu" or self.quickened:
            return
        self.quickened = True
        for model in filter(None, (trainer.model, getattr(trainer, "ref_model", None))):
            core = weights.core_of(model)
            if hasattr(core, "lm_head") and head.is_plain(core):
                head.use_compact_head(core, getattr(trainer, "temperature", 1.0))
                self.saves.append("the language-model head on completions only")
            self.share_prompts(core)
        core = weights.core_of(trainer.model)
        depth = trunk.frozen_depth(core)
        fresh = hasattr(self.config, "rollout_size")  # each step has rows of its own: nothing to remember
        if depth and not fresh and not trainer.args.gradient_checkpointing and self.fits_in_memory(core):
            trunk.Trunk(core.base_model, depth).install()
            self.saves.append(trunk.SAVES.format(depth))
        for layer in trainer.model.modules() if self.machine.precision == "bf16" else ():
            if hasattr(layer, "cast_input_dtype_enabled"):
                layer.cast_input_dtype_enabled = False  # autocast chooses the type; PEFT would go to fp32 and back

    def share_prompts(self, model: Any) -> None:
        """Let a model pass each token of a batch once, as the settings say, and keep less of it."""
        if self.machine.device != "cpu":
            return
        if machine.world_size() == 1:
            table.install(model)
        if recompute.install(model.base_model):
            self.saves.append(recompute.SAVES)
        if self.config.shared_prompts != "off":
            self.tallies.append(sharing.share(model.base_model, always=self.config.shared_prompts == "on"))

    def savings(self) -> list[str]:
        """What this run did not have to compute, in words."""
        given, passed = (sum(getattr(tally, name) for tally in self.tallies) for name in ("given", "passed"))
        found = list(dict.fromkeys(self.saves))
        if passed < given:
            found.insert(0, f"prompts shared, padding left out: {passed / given:.0%} of the tokens passed")
        return found

    def fits_in_memory(self, core: Any) -> bool:
        tokens = sum(self.train_rows.tokens) + sum(self.eval_rows.tokens)
        needed = tokens * core.config.get_text_config().hidden_size * core.dtype.itemsize
        return needed < 0.25 * machine.available_memory("cpu")

    def counts(self) -> dict[str, int]:
        """Rows that max_length left out or cut, as preflight foretold them."""
        train, held_out = self.train_rows, self.eval_rows
        counts = {"rows": len(train.rows), "dropped": train.dropped, "cut": train.cut}
        counts |= {"eval_rows": len(held_out.rows), "eval_dropped": held_out.dropped, "eval_cut": held_out.cut}
        return counts | {name: n for name in ("windowed", "unlabeled") if (n := getattr(train, name))}


def no_rows(kept: rows.Kept, max_length: int) -> str:
    if kept.unlabeled:
        return f"none of the {len(kept.sizes)} rows of train.jsonl has a label to learn from"
    if not kept.dropped:
        return "train.jsonl has no rows"
    text = f"all {kept.dropped} rows of train.jsonl are longer than max_length {max_length}"
    return f"{text}; raise it or shorten the rows"


def completions(session: Session) -> Sampler:
    """Sample what the policy answers to the first held-out prompts, greedily, so that steps compare."""

    def draw(trainer: Any) -> Iterator[dict[str, Any]]:
        import torch

        prompts = distinct_prompts(session)
        model, tokenizer = trainer.accelerator.unwrap_model(trainer.model), session.tokenizer
        texts = [session.chat.text(prompt, add_generation_prompt=True) for prompt in prompts]
        batch = tokenizer(texts, padding=True, padding_side="left", add_special_tokens=False, return_tensors="pt")
        was_training = model.training
        model.eval()
        with torch.no_grad(), trainer.accelerator.autocast():
            made = model.generate(**batch.to(model.device), max_new_tokens=NEW_TOKENS, do_sample=False, use_cache=True)
        model.train(was_training)
        for prompt, ids in zip(prompts, made[:, batch.input_ids.shape[1] :], strict=True):
            text = tokenizer.decode(ids, skip_special_tokens=True)
            yield {"prompt": prompt, "completion": text, "reward": None, "parts": {}}

    return draw


def distinct_prompts(session: Session) -> list[Any]:
    found: list[Any] = []
    for row in session.eval_rows.rows or session.train_rows.rows:
        if row["prompt"] not in found:
            found.append(row["prompt"])
        if len(found) == session.config.samples:
            break
    return found
