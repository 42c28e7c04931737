"""Read a model's folder into memory, ready to serve."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training.recipes.chat import Chat
from training.recipes.config import BadConfig
from training.recipes.steps import SEPARATOR
from training.server.folders import SCORING, Options, task_of
from training.server.protocol import ApiError


@dataclass(eq=False)
class Model:
    """A loaded model and what serving needs to know of it."""

    name: str
    task: str
    network: Any
    tokenizer: Any
    device: Any
    context: int | None
    eos: frozenset[int]
    pad: int | None
    keeps_logits: bool
    chat: Any = None  # of a model that scores traces: what makes its tokens, at training as here
    separator: str = SEPARATOR  # between the steps of a trace
    window: int = 0  # most tokens of a trace read at once
    lock: threading.Lock = field(default_factory=threading.Lock)  # tokenizers are not safe to share while they encode

    def encode(self, messages: list[dict], **template: Any) -> list[int]:
        """Token ids of a chat. Raises ApiError where the chat template cannot render it."""
        return self.encode_begun(messages, [""], **template)[0]

    def encode_begun(self, messages: list[dict], endings: list[str], **template: Any) -> list[list[int]]:
        """Token ids of a chat, rendered once, followed by each of these texts."""
        if not self.tokenizer.chat_template:
            message = f"{self.name} is a base model without a chat template: train it on chats first, or add a template"
            raise ApiError(400, message, "no_chat_template", "model")
        with self.lock:
            try:
                text = self.tokenizer.apply_chat_template(messages, tokenize=False, **template)
            except Exception as fault:
                message = f"the chat template of {self.name} refused the messages: {fault}"
                raise ApiError(400, message, "chat_template", "messages") from fault
            return self.tokenizer([text + ending for ending in endings], add_special_tokens=False)["input_ids"]


def load(name: str, folder: Path, options: Options) -> Model:
    """Read a model into memory, ready to serve; safetensors only, and no code from the folder."""
    import inspect

    import torch
    from transformers import AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    task = task_of(folder)
    if task is None:
        message = f"{name} is neither a causal language model nor a reward model, and cannot be served here"
        raise ApiError(400, message, "unsupported_model", "model")
    kind = kind_for(task)
    safe = {"trust_remote_code": False, "local_files_only": True}
    tokenizer = AutoTokenizer.from_pretrained(folder, **safe)
    network = kind.from_pretrained(folder, dtype=getattr(torch, options.dtype_of(folder)), use_safetensors=True, **safe)
    network = network.to(options.device).eval()
    if task == "chat" and getattr(network, "_is_stateful", False):
        message = f"{name} keeps recurrent state, which is not batched here; serve it with vLLM and register its URL"
        raise ApiError(400, message, "unsupported_model", "model")
    if task in SCORING:
        check_labels(name, network.config.num_labels, task)
        score_in_float32(network)
    text = network.config.get_text_config()
    context = getattr(text, "max_position_embeddings", None)
    return Model(
        name=name,
        task=task,
        network=network,
        tokenizer=tokenizer,
        device=network.device,
        context=context,
        eos=end_tokens(network, tokenizer),
        pad=text.pad_token_id,
        keeps_logits="logits_to_keep" in inspect.signature(network.forward).parameters,
        **(reading_traces(name, folder, network.config, context) if task in ("steps", "outcome") else {}),
    )


def kind_for(task: str) -> Any:
    import transformers

    kinds = {"chat": "CausalLM", "score": "SequenceClassification", "outcome": "SequenceClassification"}
    return getattr(transformers, f"AutoModelFor{kinds.get(task, 'TokenClassification')}")


def check_labels(name: str, count: int, task: str) -> None:
    wanted, what = (2, "process reward model has two, bad and good") if task == "steps" else (1, "reward model has one")
    if count != wanted:
        raise ApiError(400, f"{name} has {count} labels; a {what}", "unsupported_model", "model")


def reading_traces(name: str, folder: Path, config: Any, context: int | None) -> dict[str, Any]:
    """How the model was shown traces when it was trained; one from elsewhere is shown them as ours are by default."""
    try:
        chat = Chat(str(folder))
    except BadConfig as error:
        raise ApiError(400, f"{name}: {error}", "no_chat_template", "model") from None
    separator = getattr(config, "step_separator", None) or SEPARATOR
    return {"chat": chat, "separator": separator, "window": getattr(config, "step_window", None) or context or 10**9}


def score_in_float32(network: Any) -> None:
    """Keep the head exact: in bfloat16 two answers that differ would often tie."""
    from torch.nn import Linear

    for head in (child for child in network.children() if isinstance(child, Linear)):
        head.float().register_forward_pre_hook(lambda _, inputs: (inputs[0].float(),))


def end_tokens(network: Any, tokenizer: Any) -> frozenset[int]:
    said = network.generation_config.eos_token_id if network.can_generate() else None
    said = said if isinstance(said, list) else [said]
    return frozenset(token for token in [*said, tokenizer.eos_token_id] if token is not None)
