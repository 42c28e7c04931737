"""The untrained model of the proving ground: a tiny Llama with a tokenizer of its own, as an ordinary model folder."""

from functools import cache
from pathlib import Path
from typing import Any

# Text is its pieces joined: a piece keeps the space before it, and what always comes together is one piece.
PIECES = "[a-z] =| [-+*] [0-9]| ?[A-Za-z]+| ?[0-9]+| ?[-+*=;:?]|\\n"
TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ '<|end|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
SPECIAL = ["<|pad|>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>", "<|unknown|>"]


def vocabulary() -> dict[str, int]:
    letters, signs, numbers = "abcdefghijklmnopqrstuvwxyz", "-+*=;:?", map(str, range(100))
    single = [*letters, *signs, *numbers, "Answer"]
    joined = [f"{letter} =" for letter in letters] + [f" {sign} {digit}" for sign in "+-*" for digit in range(10)]
    pieces = [*SPECIAL, "\n", *single, *(" " + piece for piece in single), *joined]
    return {piece: at for at, piece in enumerate(pieces)}


@cache
def tokenizer() -> Any:
    """Letters, signs and numbers, each with or without a space before it: every problem and solution round-trips."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.WordLevel(vocabulary(), unk_token="<|unknown|>"))
    core.pre_tokenizer = pre_tokenizers.Split(Regex(PIECES), behavior="isolated")
    core.decoder = decoders.Fuse()
    made = PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<|end|>", pad_token="<|pad|>", unk_token="<|unknown|>",
        extra_special_tokens={"user": "<|user|>", "assistant": "<|assistant|>", "system": "<|system|>"},
        clean_up_tokenization_spaces=False, model_max_length=512,
    )  # fmt: skip
    made.chat_template = TEMPLATE
    return made


def make_blank(folder: Path, seed: int = 0, **shape: Any) -> Path:
    """Save an untrained LlamaForCausalLM in `folder`. `shape` changes LlamaConfig fields."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    words = tokenizer()
    usual = {"hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 3, "num_attention_heads": 4}
    usual |= {"num_key_value_heads": 4, "max_position_embeddings": 512, "tie_word_embeddings": True}
    # Usual ranges and angles are for large models: with them so small a one takes several times as long to look back.
    usual |= {"initializer_range": 0.08, "rope_parameters": {"rope_type": "default", "rope_theta": 100.0}}
    ids = {"eos_token_id": words.eos_token_id, "pad_token_id": words.pad_token_id, "bos_token_id": None}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(LlamaConfig(vocab_size=len(words), **ids, **(usual | shape)))
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder
