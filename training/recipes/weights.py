"""Load a base model for training; save what was trained as a folder anyone can load."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from training.recipes import card, steps
from training.recipes.config import BadConfig


def load_tokenizer(model: str) -> Any:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    if tokenizer.eos_token is None:
        raise BadConfig(f"the tokenizer of {model} has no end-of-text token; a model could never learn to stop")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_policy(model: str, dtype: str) -> Any:
    from transformers import AutoModelForCausalLM

    return load(AutoModelForCausalLM, model, dtype=dtype)


def load_scorer(model: str, dtype: str, pad_token_id: int) -> Any:
    """A causal model with a scalar head in place of its vocabulary. A new head starts at zero: every score is 0.0."""
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification

    with quiet_about_new_heads():
        was = AutoConfig.from_pretrained(model).architectures or [""]
        scorer = load(AutoModelForSequenceClassification, model, dtype=dtype, num_labels=1)
    if "SequenceClassification" not in was[0]:
        torch.nn.init.zeros_(scorer.score.weight)
    scorer.config.get_text_config().pad_token_id = pad_token_id  # it scores the last token that is not padding
    return scorer


@contextmanager
def quiet_about_new_heads() -> Iterator[None]:
    """A head the files do not hold is what is wanted here, not news."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def load_step_scorer(model: str, dtype: str) -> Any:
    """A causal model with two numbers, bad and good, at every token. A new head starts at zero: every P(good) is ½."""
    import torch
    from transformers import AutoConfig, AutoModelForTokenClassification

    with quiet_about_new_heads():
        was = AutoConfig.from_pretrained(model).architectures or [""]
        labels = {"num_labels": 2, "id2label": {0: "bad", 1: "good"}, "label2id": {"bad": 0, "good": 1}}
        scorer = load(AutoModelForTokenClassification, model, dtype=dtype, **labels)
    if "TokenClassification" not in was[0]:
        for parameter in steps.head_of(scorer).parameters():
            torch.nn.init.zeros_(parameter)
    return scorer


def load(kind: Any, model: str, **options: Any) -> Any:
    import torch

    options["dtype"] = getattr(torch, options["dtype"])
    try:
        return kind.from_pretrained(model, use_safetensors=True, attn_implementation="sdpa", **options)
    except (OSError, ValueError) as error:
        if "no space left" in str(error).lower():
            raise
        raise BadConfig(f"base_model {model} could not be loaded: {str(error).strip().splitlines()[0]}") from error


def core_of(model: Any) -> Any:
    """The causal model or scorer itself, whose layers may hold an adapter."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def linear_layers(model: Any) -> list[str]:
    """Names of the linear layers inside the transformer blocks; the head is not one of them."""
    import torch

    inside = (
        name for name, layer in model.named_modules() if isinstance(layer, torch.nn.Linear) and ".layers." in name
    )
    return sorted({name.rpartition(".")[2] for name in inside}) or "all-linear"


def save(session: Any, trained: Any, metrics: dict[str, Any], beside: Callable[[Path], None] | None = None) -> None:
    """Write model/ beside its place and rename it there: weights as safetensors, tokenizer, template, card.

    `beside` writes what else belongs to the model into its folder.
    """
    run = session.run
    if not run.main:
        return
    partial, final = run.dir / "model.partial", run.dir / "model"
    shutil.rmtree(partial, ignore_errors=True)
    whole = merged(trained, run.base_model, partial / "adapter", session.tokenizer) if session.config.lora else trained
    for name, value in session.marks.items():
        setattr(whole.config, name, value)
    whole.to(dtype_of(session.config.save_precision)).save_pretrained(partial)
    session.tokenizer.save_pretrained(partial)
    if beside:
        beside(partial)
    (partial / "README.md").write_text(card.write(run, session.machine.label, metrics, session.note), encoding="utf-8")
    shutil.rmtree(final, ignore_errors=True)
    os.replace(partial, final)


def merged(trained: Any, base_model: str, folder: Path, tokenizer: Any) -> Any:
    """The base model, read again in fp32, with the adapter added in: in bf16 a small update would be rounded away."""
    from peft import PeftModel, TaskType

    trained.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    loaders = {
        TaskType.SEQ_CLS: lambda: load_scorer(base_model, "float32", tokenizer.pad_token_id),
        TaskType.TOKEN_CLS: lambda: load_step_scorer(base_model, "float32"),
    }
    base = loaders.get(trained.peft_config["default"].task_type, lambda: load_policy(base_model, "float32"))()
    return PeftModel.from_pretrained(base, folder).merge_and_unload()


def dtype_of(precision: str) -> Any:
    import torch

    return torch.bfloat16 if precision == "bf16" else torch.float32
