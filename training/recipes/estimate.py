"""How long a training will take and how much memory it needs, from the model's files and the rows' tokens. No torch."""

import json
import math
import shutil
import struct
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.engine import parts
from training.recipes import machine
from training.recipes.chat import find
from training.recipes.config import BadConfig

GB = 1024**3
LIBRARIES = 0.7 * GB  # what importing torch, transformers and trl takes
# Sustained bf16 teraflops in training, about 40 % of what the maker prints; unknown GPUs get the least.
GPUS = {"H200": 400, "H100": 400, "A100": 130, "L40": 90, "A10": 40, "4090": 80, "3090": 40, "V100": 40, "T4": 15}


@dataclass(frozen=True)
class Shape:
    parameters: int
    hidden: int
    layers: int
    inner: int
    vocabulary: int
    lean: bool  # of a build that keeps less on a CPU (training.engine.recompute), as far as its settings tell

    @property
    def body(self) -> int:
        """Parameters every token passes through; embeddings are looked up, the head is counted apart."""
        return max(1, self.parameters - self.hidden * self.vocabulary)

    @property
    def head(self) -> int:
        return self.hidden * self.vocabulary


def shape_of(model: str) -> Shape:
    path = find(model, "config.json")
    if path is None:
        raise BadConfig(f"base_model {model} has no config.json")
    config = json.loads(path.read_text())
    config = config.get("text_config", config)
    hidden, layers = config.get("hidden_size", 768), config.get("num_hidden_layers", 12)
    inner, vocabulary = config.get("intermediate_size") or 4 * hidden, config.get("vocab_size", 32000)
    guess = layers * (4 * hidden * hidden + 3 * hidden * inner) + hidden * vocabulary
    lean = config.get("hidden_act") == "silu"
    return Shape(count_parameters(path.parent) or guess, hidden, layers, inner, vocabulary, lean)


def count_parameters(folder: Path) -> int:
    """Numbers stored in the safetensors files, read from their headers; 0 where there are none."""
    return sum(size for file in folder.glob("*.safetensors") for size in tensor_sizes(file))


def tensor_sizes(file: Path) -> list[int]:
    with file.open("rb") as handle:
        (length,) = struct.unpack("<Q", handle.read(8))
        header = json.loads(handle.read(length))
    header.pop("__metadata__", None)
    sizes = []
    for tensor in header.values():
        size = 1
        for side in tensor["shape"]:
            size *= side
        sizes.append(size)
    return sizes


def flops(
    shape: Shape, config: Any, passes_head: bool, tokens: float, passes: float, held_out: float, cpu: bool
) -> float:
    """Of a whole training: `tokens` training tokens, passed `passes` times, and `held_out` ones evaluated twice.

    A forward pass takes 2 per parameter and token, backward as much again, and for weights that learn once more. Only
    adapted layers are passed backward; on a CPU the frozen ones below them see each row once (`trunk`)."""
    reached = config.lora_layers / shape.layers if config.lora and 0 < config.lora_layers < shape.layers else 1.0
    upper = 2.0 * (shape.body * reached + (shape.head / 2 if passes_head else 0))  # half the tokens are completions
    trunk = 2.0 * shape.body * (1 - reached)
    forwards = 2 if hasattr(config, "beta") else 1  # the reference sees every row as well
    seen, evaluated = tokens * passes, 2 * held_out
    trunk_tokens = tokens * min(1.0, passes) + held_out if cpu else forwards * (seen + evaluated)
    backward = upper * (1 if config.lora else 2)
    return (seen + evaluated) * upper * forwards + seen * backward + trunk_tokens * trunk


DRAWING = 6  # a token drawn takes as long as so many that are read: one column at a time keeps few units busy


def drawn_flops(shape: Shape, config: Any, tokens: float) -> float:
    """Of a whole training that draws its completions, so many tokens with their prompts at the longest: drawn, seen by
    the reference, learned from. Completions that end earlier cost less, and rewards are not counted."""
    forward = 2.0 * (shape.body + shape.head)
    passes = getattr(config, "num_ppo_epochs", getattr(config, "num_iterations", 1))
    learning = passes * (2 if config.lora else 3)
    valuing = 2.0 * shape.body * (1 + learning) if has_critic(config) else 0.0
    return tokens * (forward * (DRAWING + 2 + learning) + valuing)


def has_critic(config: Any) -> bool:
    """Whether a value model as large as the policy learns beside it."""
    return getattr(config, "value_model", "head") == "own"


def pass_tokens(longest: int, rows: int, parted: bool) -> int:
    """Tokens of one forward and backward pass, at most: of a batch of rows, or of a part of it (training.engine.parts).

    >>> pass_tokens(900, 2, True), pass_tokens(900, 4, True), pass_tokens(3000, 4, True), pass_tokens(900, 4, False)
    (1800, 2048, 3000, 3600)
    """
    return max(longest, min(longest * rows, parts.TOKENS)) if parted else longest * rows


def activation_bytes(shape: Shape, tokens: int, passes_head: bool, half: bool, cpu: bool) -> int:
    """What a forward pass keeps for the backward pass, over `tokens` tokens at once."""
    hidden, inner = (8, 2) if cpu and shape.lean else (14, 5)
    numbers = shape.layers * (hidden * shape.hidden + inner * shape.inner)
    return int(tokens * numbers * (2 if half else 4) * 1.3) + (GB // 2 if passes_head else 0)


def weight_bytes(shape: Shape, lora: bool, half: bool, references: int = 0) -> int:
    """Weights, and for full training gradients and both moments of AdamW, in fp32."""
    stored = 2 if lora and half else 4
    return shape.parameters * (stored if lora else 16) + references * shape.parameters * stored


def needs_checkpointing(shape: Shape, tokens: int, free: int, lora: bool, half: bool, cpu: bool) -> bool:
    needed = activation_bytes(shape, tokens, True, half, cpu) + (0 if lora else 12 * shape.parameters)
    return needed > 0.8 * free


def speed(device: str, precision: str) -> tuple[float, str]:
    """Floating-point operations a second in training, and what was found to say so."""
    gpu = gpu_name() if device != "cpu" else ""
    if gpu:
        rate = next((rate for name, rate in GPUS.items() if name in gpu), min(GPUS.values()))
        return rate * 1e12, gpu
    half = precision == "bf16" or (precision == "auto" and machine.cpu_has_bf16())
    gain = (4.0 if "amx_bf16" in machine.cpu_flags() else 2.0) if half and machine.cpu_has_bf16() else 1.0
    return matmul_rate() * gain * 0.45, f"cpu {'bf16' if half else 'fp32'}, {machine.cores()} cores"


def matmul_rate() -> float:
    """Measured here and now: fp32 flops of all cores, from the best time of products too small to be shared out
    among threads, so that a busy machine changes it little."""
    import numpy as np

    left, right, best = np.ones((64, 64), np.float32), np.ones((64, 64), np.float32), math.inf
    until = time.perf_counter() + 0.2
    while time.perf_counter() < until:
        began = time.perf_counter()
        left @ right
        best = min(best, time.perf_counter() - began)
    return machine.cores() * 2 * 64**3 / best


def gpu_name() -> str:
    if not shutil.which("nvidia-smi"):
        return ""
    ask = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    done = subprocess.run(ask, capture_output=True, text=True, check=False, timeout=10)
    return done.stdout.strip().splitlines()[0] if done.returncode == 0 and done.stdout.strip() else ""


def estimate(said: dict[str, Any], config: Any, module: Any, train: Any, held_out: Any) -> dict[str, Any]:
    """Seconds, bytes and steps of a run, and what they rest on. Good to about a factor of two."""
    shape, passes_head = shape_of(said["base_model"]), module.MAKES == "policy"
    rate, found = speed(said.get("device", "auto"), config.precision)
    cpu = found.startswith("cpu")
    steps, count = steps_of(config, len(train.examples)), max(1, len(train.examples))
    seen = steps * config.per_device_train_batch_size * config.gradient_accumulation_steps / count
    if hasattr(config, "rollout_size"):
        drawn = steps * config.rollout_size / getattr(config, "num_iterations", 1)
        seen = drawn / count
        seconds = drawn_flops(shape, config, sum(train.tokens) * seen) / rate
    else:
        seconds = flops(shape, config, passes_head, sum(train.tokens), seen, sum(held_out.tokens), cpu) / rate
    longest, parted = max(train.tokens, default=0), cpu and module.DATA == "pairs"
    batch = pass_tokens(longest, config.per_device_train_batch_size, parted)
    half = config.precision == "bf16" or (config.precision == "auto" and (not found.startswith("cpu fp32")))
    memory = weight_bytes(shape, config.lora, half, references(config))
    memory += activation_bytes(shape, batch, passes_head, half, cpu)
    memory += weight_bytes(shape, config.lora, half) if has_critic(config) else 0
    return {
        "seconds": round(seconds + START), "memory_bytes": int(memory + LIBRARIES), "steps": steps,
        "memory_available_bytes": gpu_memory() if not cpu else machine.available_ram(),
        "parameters": shape.parameters, "tokens": int(sum(train.tokens) * seen), "machine": found,
    }  # fmt: skip


START = 12  # seconds to import the libraries, load a small model and save it


def references(config: Any) -> int:
    """Copies of the model kept beside it: without an adapter, the reference a policy stays near, or is held against."""
    if config.lora or getattr(config, "precompute_ref_log_probs", False):
        return 0
    return int(bool(getattr(config, "beta", 0)) or hasattr(config, "gold"))


def steps_of(config: Any, count: int, processes: int = 1) -> int:
    """Optimiser steps of a whole training on `count` rows."""
    if config.max_steps > 0:
        return config.max_steps
    if hasattr(config, "rollout_size"):  # prompts are answered, several times perhaps
        rollouts = config.num_train_epochs * count * config.num_generations / (config.rollout_size * processes)
        return max(1, math.ceil(rollouts)) * getattr(config, "num_iterations", 1)
    batches = math.ceil(count / (config.per_device_train_batch_size * processes))
    return max(1, math.ceil(config.num_train_epochs * math.ceil(batches / config.gradient_accumulation_steps)))


def gpu_memory() -> int:
    ask = ["nvidia-smi", "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
    done = subprocess.run(ask, capture_output=True, text=True, check=False, timeout=10)
    return int(done.stdout.split()[0]) * 1024**2
