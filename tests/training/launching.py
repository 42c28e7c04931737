"""What a launch needs: rows, a model, the form as alice sends it, and a check that has run."""

import json
import re

import pytest

from annotation.models import Dataset
from annotation.store import store
from tests.reading import text
from tests.tiny import tiny_model
from tests.training.test_settings_form import posted
from training import preflights
from training.launch_form import SettingsForm, preset
from training.models import ModelVersion, Preflight

pytest_plugins = ["tests.training.pages"]


@pytest.fixture
def rows(pairs_dataset):
    """Freeze twenty pairs and four held-out ones."""

    def pair(n: int) -> dict:
        says = {
            "prompt": ("user", f"Question {n}?"),
            "chosen": ("assistant", "Yes, gladly."),
            "rejected": ("assistant", "No."),
        }
        return {key: [{"role": role, "content": content}] for key, (role, content) in says.items()}

    folder = store().work(pairs_dataset.folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, span in (("train", range(24)), ("eval", range(24, 28))):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(pair(n)) + "\n" for n in span))
    Dataset.objects.filter(pk=pairs_dataset.pk).update(rows_train=24, rows_eval=4)
    return pairs_dataset


@pytest.fixture
def chat_model(alice):
    model = ModelVersion.objects.create(name="Tiny", slug="tiny-v1", created_by=alice)
    tiny_model(store().work(model.folder))
    return model


@pytest.fixture
def form(client, alice, project, rows, chat_model):
    """What alice sends, with changes."""
    client.force_login(alice)
    known = {"project": project.pk, "dataset": rows.pk, "recipe": "dpo", "base_model": chat_model.pk, "device": "cpu"}
    known |= {"executor": "local", "processes": "", "queue": "train"}
    known |= posted(SettingsForm("dpo", initial=preset("dpo", "smoke"))) | {"action": "check"}
    return lambda **changes: known | changes


@pytest.fixture
def checked(client, form):
    """Check these settings for real, and return what was found."""

    def check(**changes) -> Preflight:
        answer = client.post("/train/new/", form(**changes))
        assert answer.status_code == 302, text(answer)
        found = Preflight.objects.get(pk=re.search(r"check=(\d+)", answer.url).group(1))
        preflights.run(found)
        found.refresh_from_db()
        return found

    return check
