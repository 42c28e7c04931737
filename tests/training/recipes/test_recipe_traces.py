"""From traces to windows and labels, and what preflight says of them. No torch."""

import json
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.recipes.conftest import outcomes, planted_traces, say
from training.recipes.chat import Chat
from training.recipes.config import BadConfig
from training.recipes.orm import Config as OrmConfig
from training.recipes.preflight import preflight
from training.recipes.prm import Config
from training.recipes.rows import BadData
from training.recipes.steps import TooLong, step_tokens, trace_windows, windows
from training.recipes.traces import keep, learned, read, separator_of

PROMPT = say("user", "Why?")


@st.composite
def traces(draw):
    """Token ids, ends of steps, length of the prompt, and a max_length with room for a step at least."""
    prompt = draw(st.integers(1, 10))
    lengths = draw(st.lists(st.integers(1, 12), min_size=1, max_size=30))
    ends = [prompt + sum(lengths[: at + 1]) - 1 for at in range(len(lengths))]
    return list(range(ends[-1] + 1)), ends, prompt, prompt + draw(st.integers(1, 60))


@given(traces())
@settings(max_examples=300)
def test_every_step_is_scored_once_at_its_own_end_beside_the_prompt(trace):
    ids, ends, prompt, max_length = trace
    parts = windows(*trace)
    assert [step for part in parts for step in part.steps] == list(range(len(ends)))
    for part in parts:
        assert len(part) <= max_length and part.ids[:prompt] == ids[:prompt]
        assert [part.ids[end] for end in part.ends] == [ends[step] for step in part.steps]
        rest = part.ids[prompt:]
        assert rest == list(range(rest[0], rest[-1] + 1)) and rest[-1] == ends[part.steps[-1]]
        begins = {prompt, *(end + 1 for end in ends)}
        assert part.cut == (rest[0] not in begins)
    if len(ids) <= max_length:
        assert [part.ids for part in parts] == [ids]


@given(traces(), st.data())
@settings(max_examples=200)
def test_what_follows_never_changes_how_a_step_is_read(trace, data):
    ids, ends, prompt, max_length = trace
    count = data.draw(st.integers(1, len(ends)))
    part = windows(ids[: ends[count - 1] + 1], ends[:count], prompt, max_length)
    seen = {s: w.ids[: end + 1] for w in windows(*trace) for s, end in zip(w.steps, w.ends, strict=True)}
    for window in part:
        for step, end in zip(window.steps, window.ends, strict=True):
            assert window.ids[: end + 1] == seen[step]


def test_a_prompt_that_fills_the_window_is_too_long_and_no_steps_are_no_windows():
    with pytest.raises(TooLong, match="5 tokens"):
        windows(list(range(8)), [7], 5, 5)
    assert windows(list(range(5)), [], 5, 9) == []


def test_tokens_are_the_prompt_then_each_step_with_its_separator(base_model):
    chat = Chat(str(base_model))
    ids, ends = step_tokens(chat, PROMPT, ["One.", "Two\n\nhalves."], "\n\n")
    assert chat.tokenizer.decode(ids, skip_special_tokens=False) == (
        "<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\nOne.\n\nTwo\n\nhalves.\n\n"
    )
    assert ids[: ends[0] + 1] == step_tokens(chat, "Why?", ["One."], "\n\n")[0]  # TRL's prompt is text
    assert ends[-1] == len(ids) - 1
    last = trace_windows(chat, PROMPT, ["One.", "Two."], "\n", 100, last_only=True)
    assert [part.steps for part in last] == [[1]]
    with pytest.raises(ValueError, match="no token of the step separator"):
        step_tokens(SimpleNamespace(tokens=chat.tokens, encode=lambda text: []), PROMPT, ["One."], "\n\n")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"completions": []}, "at least one"),
        ({"completions": None}, "must be a list of steps"),
        ({"completions": ["a", 2]}, "each of them text"),
        ({"labels": [True] * 3}, "has 3 labels for 2 steps; write null"),
        ({"labels": [True]}, "has 1 labels for 2 steps"),
        ({"labels": None}, "has None as labels"),
        ({"labels": [1, 1.5]}, r"labels\[1\] must be true, false, null or a share from 0 to 1, not 1.5"),
        ({"labels": [-1, 1]}, r"labels\[0\]"),
        ({"labels": ["good", 1]}, r"labels\[0\]"),
        ({"labels": [float("nan"), 1]}, r"labels\[0\]"),
        ({"prompt": ""}, "prompt must be"),
        ({"prompt": [{"role": "user"}]}, "prompt needs a role and a content"),
    ],
)
def test_rows_that_say_nothing_clear_are_refused_by_line_and_field(change, words):
    row = {"prompt": PROMPT, "completions": ["a", "b"], "labels": [True, None]}
    assert read(dict(row), "stepwise", "train.jsonl line 3")["labels"] == [1.0, None]
    with pytest.raises(BadData, match="train.jsonl line 3.*" + words):
        read(row | change, "stepwise", "train.jsonl line 3")


def test_an_outcome_is_one_label_at_the_last_step():
    row = {"prompt": "Why?", "completions": ["a", "b"], "label": False}
    assert read(dict(row), "outcome", "line 1") == {"prompt": PROMPT, "completions": ["a", "b"], "labels": [None, 0.0]}
    for label in (None, 0.5, "yes", 2):
        with pytest.raises(BadData, match="label must be true or false"):
            read(row | {"label": label}, "outcome", "line 1")


def test_labels_are_made_hard_and_end_at_the_first_error_where_that_is_asked_for():
    labels = [1.0, 0.25, None, 0.75]
    assert learned(labels, Config()) == labels
    assert learned(labels, Config(hard_label_threshold=0.25)) == [1, 1, None, 1]
    assert learned(labels, Config(hard_label_threshold=0.5)) == [1, 0, None, 1]
    assert learned(labels, Config(steps_after_first_error=False)) == [1.0, 0.25, None, None]


@pytest.mark.parametrize(("written", "read_as"), [(r"\n\n", "\n\n"), ("\n", "\n"), (" ки ", " ки "), ("→é", "→é")])
def test_a_separator_may_be_written_on_one_line(written, read_as):
    assert separator_of(Config(step_separator=written)) == read_as


@pytest.mark.parametrize("written", ["", "\\x", "\\"])
def test_a_separator_that_is_none_is_refused(written):
    with pytest.raises(BadConfig, match="step_separator"):
        separator_of(Config(step_separator=written))


def test_traces_without_labels_are_left_out_and_a_trace_of_five_hundred_steps_is_not(base_model):
    chat = Chat(str(base_model))
    rows = [
        {"prompt": PROMPT, "completions": ["So."] * 500, "labels": [1.0] * 499 + [0.0]},
        {"prompt": PROMPT, "completions": ["So."], "labels": [None]},
        {"prompt": PROMPT, "completions": ["So."] * 3, "labels": [0.0, None, None]},
    ]
    kept = keep(rows, chat, Config(max_length=64))
    assert (len(kept.rows), kept.unlabeled, kept.windowed, kept.dropped, kept.cut) == (2, 1, 1, 0, 0)
    assert sum(label is not None for part in kept.windows for label in part.labels) == 501
    assert max(kept.tokens) <= 64 and len(kept.tokens) == len(kept.windows) == len(kept.examples)
    outcome = keep([rows[0] | {"labels": [None] * 499 + [0.0]}], chat, OrmConfig(max_length=64))
    assert len(outcome.windows) == 1 and outcome.windows[0].labels[-1] == 0.0


def test_preflight_shows_a_trace_as_the_model_reads_it(make_run):
    run_dir = make_run("prm", train=planted_traces(40, steps=6), max_length=64)
    report = preflight(run_dir)
    assert report["ok"] and report["rows"]["train"] == {"rows": 40, "kept": 40, "dropped": 0, "cut": 0, "windowed": 40}
    assert any("40 of 40 rows of train.jsonl are longer than max_length 64" in text for text in report["warnings"])
    assert report["lengths"].keys() == {"prompt", "trace"}
    pieces = report["examples"][0]["trace"]
    assert sum(piece["loss"] for piece in pieces) == 6 and not any(p["loss"] for p in pieces if p["role"] == "prompt")
    assert report["estimate"]["steps"] == 48  # batches of four windows, not of four traces
    json.dumps(report)


def test_preflight_warns_of_labels_that_all_agree_and_of_leaks(make_run):
    rows = [row | {"labels": [True] * 4} for row in planted_traces(30)]
    rows[3]["completions"][1] = " "
    warnings = "\n".join(preflight(make_run("prm", train=rows, held_out=rows[:2]))["warnings"])
    assert "every label of train.jsonl says good" in warnings
    assert "1 rows of train.jsonl have an empty step, row 4 first" in warnings
    assert "2 prompts are in train.jsonl and in eval.jsonl" in warnings
    assert preflight(make_run("orm", train=outcomes(planted_traces(30))))["warnings"] == []


def test_preflight_refuses_rows_of_another_shape_and_separators_that_are_none(make_run):
    report = preflight(make_run("prm", train=outcomes(planted_traces(3))))
    assert report["errors"] == [
        "train.jsonl line 1 has None as labels for 4 steps; write null for a step without a label"
    ]
    report = preflight(make_run("prm", step_separator=""))
    assert len(report["errors"]) == 1 and "step_separator must not be empty" in report["errors"][0]
    report = preflight(make_run("prm", train=[row | {"labels": [None] * 4} for row in planted_traces(3)]))
    assert "train.jsonl leaves no row to train on" in report["errors"][0]
