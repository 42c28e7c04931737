"""A random tiny chat model with a real tokenizer, made in a second, for tests that train and generate for real."""

from pathlib import Path
from typing import Any

CHATML = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
TEXT = (
    "The sky is blue because air scatters short waves of light more than long ones.",
    "Please write a short, friendly answer and say when you are not sure about it.",
    "I am sorry, I cannot help with that, but here is what you could do instead.",
    "What is the capital of France? Paris is the capital of France.",
    "Yes, good, bad, no, thanks, the, and, of, to, in, user, assistant, system",
)


def tiny_model(path: Path | str, **size: Any) -> Path:
    """Save a random LlamaForCausalLM with ChatML and a byte-level BPE tokenizer (any text round-trips) in `path`.

    `size` changes LlamaConfig fields: hidden_size, num_hidden_layers, num_attention_heads, ...
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    path = Path(path)
    tokenizer = tiny_tokenizer()
    ids = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None}
    shape = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    shape |= {"num_key_value_heads": 2, "max_position_embeddings": 2048, "tie_word_embeddings": True}
    seed = torch.get_rng_state()
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **ids, **(shape | size))).save_pretrained(path)
    torch.set_rng_state(seed)
    tokenizer.save_pretrained(path)
    return path


def tiny_tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    learner = trainers.BpeTrainer(
        vocab_size=512, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    core.train_from_iterator(TEXT, learner)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<|im_end|>", pad_token="<|endoftext|>", model_max_length=2048
    )
    tokenizer.chat_template = CHATML
    return tokenizer
