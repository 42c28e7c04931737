"""Models come from a folder, a hub, an endpoint or a training; what is not whole or not safe is refused."""

import shutil
from datetime import timedelta

import pytest
from django.utils import timezone

from annotation.store import store
from tests.tiny import tiny_model
from tests.training import words
from training import fetching
from training.fetching import fetch_model, wake_lost
from training.models import ModelVersion
from training.registry import BadModel, new_version, queue_folder, register_endpoint, register_folder, register_hub


@pytest.fixture
def folder(tmp_path):
    words.save(tmp_path / "Small Model", {"thanks": 1.0, "no": -1.0})
    return tmp_path / "Small Model"


def test_a_folder_is_copied_into_the_store_with_its_facts(clean_home, alice, folder):
    model = register_folder(folder, user=alice)
    assert (model.name, model.slug, model.status, model.parameters) == ("Small Model", "small-model-v1", "ready", 2)
    shutil.rmtree(folder)
    assert (store().fetch(model.folder) / "model.safetensors").stat().st_size < model.bytes
    assert not list((clean_home / "models").glob(".*"))  # nothing half-made is left


def test_links_in_a_folder_are_followed_as_in_the_hub_cache(clean_home, alice, folder, tmp_path):
    (folder / "model.safetensors").rename(tmp_path / "blob")
    (folder / "model.safetensors").symlink_to(tmp_path / "blob")
    model = register_folder(folder, user=alice)
    assert not (store().fetch(model.folder) / "model.safetensors").is_symlink()


def test_a_folder_that_lies_in_its_place_already_is_taken_as_it_is(clean_home, alice, folder):
    place = store().work("models/small-model-v1")
    folder.rename(place)
    model = register_folder(place, name="Small Model", user=alice)
    assert model.slug == "small-model-v1" and place.exists() and len(list(place.parent.iterdir())) == 1


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda f: (f / "config.json").unlink(), "no config.json"),
        (lambda f: (f / "tokenizer.json").unlink(), "no tokenizer"),
        (lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"), "Pickle files"),
        (lambda f: (f / "model.safetensors").rename(f / "adapter_model.safetensors"), "merge it into its base"),
        (lambda f: (f / "model.safetensors").write_bytes(b"\xff" * 9), "cut off"),
        (lambda f: (f / "model.safetensors").write_bytes(b""), "cut off"),
    ],
)
def test_a_folder_that_is_no_whole_model_is_refused_with_the_reason(clean_home, alice, folder, spoil, says):
    spoil(folder)
    with pytest.raises(BadModel, match=says):
        register_folder(folder, user=alice)
    assert not ModelVersion.objects.exists()


def test_a_worker_copies_a_folder_with_the_same_facts(clean_home, alice, folder):
    at_once, queued = register_folder(folder, user=alice), queue_folder(folder, user=alice)
    assert (queued.status, queued.slug, queued.parameters) == ("copying", "small-model-v2", 2)
    fetch_model(queued)
    queued.refresh_from_db()
    assert (queued.status, queued.message, queued.metrics) == ("ready", "", {})
    for fact in ("sha256", "parameters", "bytes", "makes"):
        assert getattr(queued, fact) == getattr(at_once, fact), fact
    names = [[path.name for path in fetching.files_in(store().fetch(m.folder))] for m in (at_once, queued)]
    assert names[0] == names[1] and not list((clean_home / "models").glob(".*"))


def test_a_copy_says_how_far_it_is(clean_home, alice, folder, monkeypatch):
    monkeypatch.setattr(fetching, "SAY_EVERY", 0.0)
    monkeypatch.setattr(fetching, "PIECE", 64)
    model, seen = queue_folder(folder, user=alice), []
    assert fetching.progress(model) == {"done": 0, "total": model.bytes, "eta": None, "begun": False}
    copy = fetching.copy

    def watched(row, partial, say):
        def look(done):
            say(done=done)
            row.refresh_from_db()
            seen.append(fetching.progress(row))

        copy(row, partial, look)

    monkeypatch.setattr(fetching, "copy", watched)
    fetch_model(model)
    assert len(seen) > 4 and seen[-1]["done"] == model.bytes and seen[0]["begun"]
    assert [at["done"] for at in seen] == sorted(at["done"] for at in seen) and seen[0]["eta"] >= 0


def test_a_copy_that_a_worker_left_half_done_is_sent_again_and_begins_anew(clean_home, alice, folder):
    model = queue_folder(folder, user=alice)
    left = store().work(f"models/.{model.slug}-0123abcd")
    left.mkdir()
    model.metrics = {"beat": timezone.now().isoformat(), "done": 3}
    model.save()
    fetch_model(model)  # the message came twice: somebody copies it already
    assert left.exists() and wake_lost() == 0
    model.metrics["beat"] = (timezone.now() - timedelta(minutes=1)).isoformat()
    model.save()
    assert wake_lost() == 1
    fetch_model(model)
    model.refresh_from_db()
    assert model.status == "ready" and not left.exists()


def no_folder(folder, monkeypatch):
    shutil.rmtree(folder)


def a_full_disk(folder, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 9, 0))


def no_weights(folder, monkeypatch):
    (folder / "model.safetensors").unlink()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [(no_folder, "finds no folder"), (a_full_disk, "is full"), (no_weights, "no *.safetensors weights")],
)
def test_a_copy_that_fails_says_what_to_do(clean_home, alice, folder, monkeypatch, spoil, says):
    model = queue_folder(folder, user=alice)
    spoil(folder, monkeypatch)
    fetch_model(model)
    model.refresh_from_db()
    assert model.status == "failed" and says in model.message
    assert not list((clean_home / "models").iterdir())


def test_a_folder_that_a_glance_refuses_is_never_queued(clean_home, alice, folder):
    (folder / "config.json").write_text("[]")
    with pytest.raises(BadModel, match="no model's configuration"):
        queue_folder(folder, user=alice)
    (folder / "model.safetensors").unlink()
    with pytest.raises(BadModel, match="no \\*.safetensors weights"):
        queue_folder(folder, user=alice)
    assert not ModelVersion.objects.exists()


@pytest.mark.training
def test_a_real_model_is_told_from_a_reward_model_and_counted(clean_home, alice, tmp_path):
    from transformers import AutoModelForCausalLM

    model = register_folder(tiny_model(tmp_path / "tiny"), name="Tiny", user=alice)
    loaded = AutoModelForCausalLM.from_pretrained(store().fetch(model.folder))
    assert model.makes == "policy" and model.parameters == sum(p.numel() for p in loaded.parameters())


def test_versions_count_within_a_name_and_addresses_never_clash(db):
    made = [new_version(name) for name in ("A b", "A b", "a-b")]
    assert [(model.name, model.version) for model in made] == [("A b", 1), ("A b", 2), ("a-b", 1)]
    assert len({model.slug for model in made}) == 3 and made[1].slug == "a-b-v2"
    assert new_version("模型").slug == "model-v1"


@pytest.mark.parametrize("hub_id", ["", "a b", "../../etc", "a/b/c", "https://host/a/b", "a/b; rm -rf /"])
def test_what_is_no_hub_id_is_refused(db, hub_id):
    with pytest.raises(BadModel, match="is no hub id"):
        register_hub(hub_id)


def test_a_hub_that_does_not_answer_is_a_failed_model_that_says_so(clean_home, alice):
    model = register_hub("owner/no-such-model", user=alice)
    assert model.status == "fetching" and model.name == "no-such-model"
    fetch_model(model)
    model.refresh_from_db()
    assert model.status == "failed" and ("No hub answers" in model.message or "has no model" in model.message)
    assert not (clean_home / "models").exists() or not list((clean_home / "models").iterdir())


def test_a_fetch_nobody_does_is_sent_again(clean_home, alice):
    model = register_hub("owner/model", user=alice)
    assert wake_lost() == 0
    ModelVersion.objects.filter(pk=model.pk).update(created=model.created - timedelta(minutes=1))
    assert wake_lost() == 1


def test_an_endpoint_keeps_the_name_of_its_key_never_another_variable(db, alice):
    model = register_endpoint("https://api.example.org/v1/", "Big", "big-1", "EXAMPLE_API_KEY", user=alice)
    assert (model.endpoint, model.endpoint_model, model.status) == ("https://api.example.org/v1", "big-1", "ready")
    for wrong in ("DATABASE_URL", "STUDIO_SECRET_KEY", "sk-123", "openai_api_key"):
        with pytest.raises(BadModel, match="ending in _API_KEY"):
            register_endpoint("https://api.example.org/v1", "Big", "big-1", wrong)
    for wrong in ("file:///etc/passwd", "api.example.org", "https://user:pw@host/v1", "https://host/v1?key=1"):
        with pytest.raises(BadModel, match="not the base URL"):
            register_endpoint(wrong, "Big", "big-1")
