"""The model card written into model/: what it is, where it comes from, how to use it. Markdown, no torch."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

KINDS = {
    "reward_model": "a reward model: it gives a chat one number, higher for what labelers preferred",
    "dpo": "a chat model trained on pairs that people ranked, by direct preference optimization (DPO)",
    "ppo": "a chat model trained on rewards for its own answers, by proximal policy optimization (PPO)",
    "grpo": "a chat model trained on rewards for its own answers, by group relative policy optimization (GRPO)",
    "online_dpo": "a chat model trained on pairs of its own answers that rewards ranked, by online DPO",
    "best_of_n": "a chat model trained to imitate the best of its own answers, by rejection sampling (best of N)",
    "rloo": "a chat model trained on rewards for its own answers, by REINFORCE leave-one-out (RLOO)",
    "prm": "a process reward model: it gives every step of a solution the probability that the step is right",
    "orm": "an outcome reward model: it gives a whole solution the probability that it is right",
    "sft": "a chat model trained to imitate completions that people preferred (SFT)",
}
USE = {
    "reward_model": """from transformers import AutoModelForSequenceClassification, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForSequenceClassification.from_pretrained(folder)
chat = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hello! How can I help?"}]
inputs = tokenizer.apply_chat_template(chat, return_dict=True, return_tensors="pt")
print(model(**inputs).logits[0, 0].item())  # comparable only between completions of one prompt""",
    "prm": """import torch
from transformers import AutoModelForTokenClassification, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForTokenClassification.from_pretrained(folder)
steps = ["2 · 3 = 6.", "2 + 6 = 9."]
prompt = [{"role": "user", "content": "What is 2 + 2 · 3?"}]
ids = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_dict=True)["input_ids"]
ends = []
for step in steps:
    for text in (step, model.config.step_separator):
        ids += tokenizer(text, add_special_tokens=False)["input_ids"]
    ends.append(len(ids) - 1)
print(model(torch.tensor([ids])).logits[0, ends].softmax(-1)[:, 1].tolist())  # P(right) of every step""",
    "orm": """import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForSequenceClassification.from_pretrained(folder)
steps = ["2 · 3 = 6.", "2 + 6 = 9."]
prompt = [{"role": "user", "content": "What is 2 + 2 · 3?"}]
ids = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_dict=True)["input_ids"]
for step in steps:
    for text in (step, model.config.step_separator):
        ids += tokenizer(text, add_special_tokens=False)["input_ids"]
print(model(torch.tensor([ids])).logits.sigmoid().item())  # P(right) of the solution""",
    "policy": """from transformers import pipeline

print(pipeline("text-generation", folder)([{"role": "user", "content": "Hello"}]))""",
}


def write(run: Any, machine: str, metrics: dict[str, Any], note: str = "") -> str:
    what = KINDS.get(run.recipe, f"a model trained by the recipe {run.recipe}")
    front = {"base_model": run.base_model, "tags": ["alignment-studio", run.recipe]}
    return f"""---
{yaml(front)}
---
# {Path(run.base_model).name}, {run.recipe}

This is {what}. It started from `{run.base_model}`{reference(run)} and was trained on {machine}.

## Use

```python
{USE.get(run.recipe, USE["policy"])}
```

## Data

{data(run.dir / "dataset" / "train.jsonl", metrics)}

## Results

{sentence(note)}{table(metrics)}

## Settings

{table(asdict(run.config) | {f"version of {name}": version for name, version in run.versions.items()})}
"""


def sentence(note: str) -> str:
    return f"{note[0].upper()}{note[1:]}.\n\n" if note else ""


def reference(run: Any) -> str:
    return f", with `{run.ref_model}` as reference," if run.ref_model else ""


def data(path: Path, metrics: dict[str, Any]) -> str:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    left_out = f"{metrics.get('dropped', 0)} were longer than max_length and left out, {metrics.get('cut', 0)} were cut"
    return f"{metrics.get('rows', 0)} rows were trained on; {left_out}. sha256 of the frozen training rows: `{digest}`."


def yaml(values: dict[str, Any]) -> str:
    return "\n".join(f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in values.items())


def table(values: dict[str, Any]) -> str:
    lines = [f"| {name} | {f'{value:.4g}' if isinstance(value, float) else value} |" for name, value in values.items()]
    return "\n".join(["| name | value |", "|---|---|", *lines])
