"""Preflight: what it counts, what it warns of, what it refuses; and that it sees the tokens transformers sees."""

import json
import shutil

import pytest

from tests.training.recipes.conftest import planted_pairs, say
from training.recipes.chat import Chat
from training.recipes.preflight import preflight

DOUBLE_BOS = "{{ bos_token + bos_token }}"
NO_END = (
    "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
THINKS = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n<think>\\n' }}{% endif %}"
)


def with_template(base_model, folder, template):
    shutil.copytree(base_model, folder)
    (folder / "chat_template.jinja").write_text(template)
    return folder


def test_good_rows_pass_with_sizes_an_example_and_an_estimate(make_run):
    run_dir = make_run("dpo", per_device_train_batch_size=4, num_train_epochs=2.0)
    report = preflight(run_dir)
    assert report["ok"] and report["errors"] == [] and report["warnings"] == []
    assert report["rows"]["train"] == {"rows": 48, "kept": 48, "dropped": 0, "cut": 0}
    assert sum(report["lengths"]["chosen"]["counts"]) == 48
    assert report["estimate"]["steps"] == 24
    assert report["estimate"]["seconds"] > 0 and report["estimate"]["memory_bytes"] > 1e8
    pieces = report["examples"][0]["chosen"]
    learned = "".join(piece["text"] for piece in pieces if piece["loss"])
    assert learned.endswith("<|im_end|>\n") and "help me" not in learned
    json.dumps(report)


def test_planted_problems_are_found(make_run):
    pairs = list(planted_pairs(30))
    pairs[3]["rejected"] = pairs[3]["chosen"]
    pairs[4]["rejected"] = say("assistant", "  ")
    pairs[5]["chosen"] = say("assistant", "word " * 200)
    run_dir = make_run("reward_model", train=pairs, held_out=[pairs[0], *planted_pairs(5, seed=1)], max_length=100)
    report = preflight(run_dir)
    warnings = "\n".join(report["warnings"])
    assert report["ok"] and report["rows"]["train"]["dropped"] == 1
    assert "1 of 30 rows of train.jsonl are longer than max_length 100" in warnings
    assert "1 rows of train.jsonl have equal chosen and rejected: row 4" in warnings
    assert "1 rows of train.jsonl have an empty completion: row 5" in warnings
    assert "1 prompts are in train.jsonl and in eval.jsonl" in warnings


def test_what_preflight_counts_is_what_training_leaves_out(make_run):
    pairs = list(planted_pairs(12))
    pairs[1]["chosen"] = pairs[2]["rejected"] = say("assistant", "word " * 200)
    run_dir = make_run("dpo", train=pairs, max_length=100, too_long="cut")
    assert preflight(run_dir)["rows"]["train"] == {"rows": 12, "kept": 12, "dropped": 0, "cut": 2}


@pytest.mark.parametrize(
    ("template", "words"),
    [(DOUBLE_BOS + NO_END, "two beginning-of-text"), (THINKS, "writes a prompt differently")],
)
def test_a_template_that_would_train_the_wrong_tokens_is_refused(make_run, base_model, tmp_path, template, words):
    model = with_template(base_model, tmp_path / "other", template)
    config = json.loads((model / "tokenizer_config.json").read_text()) | {"bos_token": "<|endoftext|>"}
    (model / "tokenizer_config.json").write_text(json.dumps(config))
    report = preflight(make_run("dpo", model=model))
    assert not report["ok"] and any(words in text for text in report["errors"])


def test_a_template_without_an_end_of_text_is_warned_of(make_run, base_model, tmp_path):
    report = preflight(make_run("dpo", model=with_template(base_model, tmp_path / "other", NO_END)))
    assert any("no end of text" in text for text in report["warnings"])


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (['{"prompt": "hi"}'], "line 1: prompt must be a list of messages"),
        (['{"prompt": [], "chosen": [], "rejected": []}'], "line 1: prompt must be"),
        (["not json"], "line 1 is not JSON"),
        (["[1]"], "line 1 is not a JSON object"),
        ([], "leaves no row to train on"),
    ],
)
def test_rows_that_cannot_be_trained_on_are_refused_by_line(make_run, rows, words):
    run_dir = make_run("dpo")
    (run_dir / "dataset" / "train.jsonl").write_text("".join(row + "\n" for row in rows))
    report = preflight(run_dir)
    assert not report["ok"] and any(words in text for text in report["errors"])


def test_a_model_that_is_not_there_or_cannot_chat_is_refused(make_run, base_model, tmp_path):
    assert "is not a folder" in preflight(make_run("dpo", model="/nowhere/model"))["errors"][0]
    mute = shutil.copytree(base_model, tmp_path / "mute")
    (mute / "chat_template.jinja").unlink()
    assert "no chat template" in preflight(make_run("dpo", model=mute))["errors"][0]


def test_chats_become_the_tokens_transformers_makes_of_them(base_model):
    from transformers import AutoTokenizer

    theirs, ours = AutoTokenizer.from_pretrained(base_model), Chat(str(base_model))
    chat = say("user", "Crème brûlée 🍮\n\n1. <|im_end|> 日本") + say("assistant", "  spaces  ")
    for asked in (True, False):
        expected = theirs.apply_chat_template(chat, add_generation_prompt=asked, return_dict=True)["input_ids"]
        assert ours.tokens(chat, add_generation_prompt=asked) == expected
