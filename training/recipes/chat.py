"""Turn chats into tokens exactly as transformers does, without importing it: preflight answers in a second."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from training.recipes.config import BadConfig

FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
Messages = list[dict[str, Any]]


class Chat:
    """A model's tokenizer and chat template. `tokens` gives the ids a trainer would see."""

    def __init__(self, model: str) -> None:
        self.model = model
        files = {name: find(model, name) for name in FILES}
        if files["tokenizer.json"] is None:
            raise BadConfig(f"base_model {model} has no tokenizer.json")
        from tokenizers import Tokenizer

        self.tokenizer = Tokenizer.from_file(str(files["tokenizer.json"]))
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        config = json.loads(files["tokenizer_config.json"].read_text()) if files["tokenizer_config.json"] else {}
        names = ("bos_token", "eos_token", "pad_token", "unk_token")
        self.special = {name: text_of(config[name]) for name in names if config.get(name)}
        self.source = template_source(config, files["chat_template.jinja"])
        if not self.source:
            raise BadConfig(f"base_model {model} has no chat template; choose an instruct (chat) model")
        self.template = compile_template(self.source)

    @property
    def eos(self) -> str | None:
        return self.special.get("eos_token")

    def text(self, messages: Messages, add_generation_prompt: bool = False) -> str:
        return self.template.render(messages=messages, add_generation_prompt=add_generation_prompt, **self.special)

    def encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def tokens(self, messages: Messages, add_generation_prompt: bool = False) -> list[int]:
        return self.encode(self.text(messages, add_generation_prompt))

    def id_of(self, token: str | None) -> int | None:
        return self.tokenizer.token_to_id(token) if token else None

    def pieces(self, ids: list[int]) -> list[str]:
        return [self.tokenizer.decode([token], skip_special_tokens=False) for token in ids]


def find(model: str, name: str) -> Path | None:
    """A file of a model: in its folder, or from the hub (its cache, when offline)."""
    if Path(model).is_dir():
        path = Path(model) / name
        return path if path.is_file() else None
    if Path(model).is_absolute():
        raise BadConfig(f"base_model {model} is not a folder on this machine")
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(model, name))
    except LocalEntryNotFoundError:  # offline, and not in the cache; a missing template file alone is no news
        if name == "tokenizer.json":
            raise BadConfig(f"base_model {model} is neither a folder here nor reachable on a hub") from None
        return None
    except EntryNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise BadConfig(f"base_model {model} could not be read: {str(error).strip().splitlines()[0]}") from error


def text_of(token: str | dict[str, Any]) -> str:
    return token["content"] if isinstance(token, dict) else token


def template_source(config: dict[str, Any], file: Path | None) -> str | None:
    if file:
        return file.read_text()
    source = config.get("chat_template")
    if isinstance(source, list):  # several named templates
        named = {entry["name"]: entry["template"] for entry in source}
        return named.get("default")
    return source


def compile_template(source: str) -> Any:
    """Jinja with the options and functions transformers gives to chat templates; sandboxed as there."""
    from jinja2 import TemplateError
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(message: str) -> None:
        raise TemplateError(message)

    def tojson(value: Any, ensure_ascii: bool = False, indent: int | None = None, **options: Any) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **options)

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.filters["tojson"] = tojson
    environment.globals |= {"raise_exception": refuse, "strftime_now": lambda form: datetime.now().strftime(form)}
    return environment.from_string(source)
