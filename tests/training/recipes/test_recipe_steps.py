"""PRM and ORM, trained for real on a tiny model: what they learn, what they are shown, what they refuse."""

import contextlib
import io
import json
import math
import threading
import time

import pytest

from tests.training.recipes.conftest import (
    RIGHT_STEPS,
    WRONG_STEPS,
    curve,
    metrics,
    outcomes,
    planted_traces,
    say,
    train_here,
)
from tests.training.server.conftest import running, tiny_step_model
from training.recipes.prm import measure
from training.recipes.run import Stop

pytestmark = pytest.mark.training
QUICK = {"max_steps": 30, "learning_rate": 0.01, "per_device_train_batch_size": 8}


def samples(run_dir):
    return [json.loads(line) for line in (run_dir / "samples.jsonl").read_text().splitlines()]


def test_a_process_reward_model_learns_which_steps_are_wrong(make_run):
    run_dir = make_run("prm", sample_every=15, **QUICK)
    done = train_here(run_dir)
    assert done["status"] == "succeeded" and done["step"] == done["total"] == 30
    assert curve(run_dir, "eval_loss")[0] == pytest.approx(math.log(2), abs=1e-6)
    assert curve(run_dir, "eval_processbench_f1")[0] == 0  # an untrained head names no step
    assert done["metrics"]["eval_step_accuracy"] > 0.95
    assert done["metrics"]["eval_first_error_accuracy"] > 0.9
    assert done["metrics"]["eval_processbench_f1"] > 0.9
    assert done["metrics"]["eval_calibration_error"] < 0.1
    assert {sample["step"] for sample in samples(run_dir)} == {15, 30}
    assert samples(run_dir)[-1]["parts"].keys() == {"step 1", "step 2", "step 3", "step 4"}
    assert {"step_accuracy", "called_bad", "labeled_bad", "num_tokens"} <= metrics(run_dir)[1]["values"].keys()


def test_an_outcome_reward_model_learns_which_solutions_are_right(make_run):
    run_dir = make_run("orm", **QUICK | {"max_steps": 50, "learning_rate": 0.005})
    done = train_here(run_dir)
    assert curve(run_dir, "eval_loss")[0] == pytest.approx(math.log(2), abs=1e-6)
    assert done["metrics"]["eval_accuracy"] > 0.9 and done["metrics"]["eval_auc"] > 0.95


@pytest.mark.parametrize("settings", [{"lora": True, "lora_layers": 1}, {"lora": False, "learning_rate": 0.003}])
@pytest.mark.parametrize("name", ["prm", "orm"])
def test_the_server_gives_the_scores_training_saw(make_run, name, settings):
    """One function makes the tokens and the windows on both sides."""
    held_out = list(planted_traces(6, seed=3, steps=9))
    rows = held_out if name == "prm" else list(outcomes(held_out))
    settings = QUICK | {"max_steps": 8, "sample_every": 8, "samples": 6, "max_length": 90} | settings
    run_dir = make_run(name, held_out=rows, **settings)
    done = train_here(run_dir)
    items = [{"messages": row["prompt"], "steps": row["completions"]} for row in rows]
    with running(run_dir) as server:
        reply = server.http.post("/v1/score_steps", json={"model": "model", "items": items}).json()["scores"]
    seen = [list(sample["parts"].values()) for sample in samples(run_dir)]
    given = [[p for p in trace if p is not None] for trace in reply]
    assert [len(trace) for trace in given] == [9 if name == "prm" else 1] * 6
    assert given == [pytest.approx(trace, abs=1e-5) for trace in seen]
    if name == "prm":
        again = measure(list(zip(given, [row["labels"] for row in held_out], strict=True)))
        assert done["metrics"]["eval_calibration_error"] == pytest.approx(again["calibration_error"], abs=1e-4)
        assert done["metrics"]["eval_step_accuracy"] == again["step_accuracy"]


def test_soft_labels_are_learned_as_the_fractions_they_are(make_run):
    def row(at):
        steps = [RIGHT_STEPS[at % 4], WRONG_STEPS[at % 4]]
        return {"prompt": say("user", f"Number {at}."), "completions": steps, "labels": [0.75, 0.125]}

    rows = [row(at) for at in range(64)]
    done = train_here(make_run("prm", train=rows, held_out=rows[:16], **QUICK | {"max_steps": 60}))
    entropy = -sum(p * math.log(p) + (1 - p) * math.log(1 - p) for p in (0.75, 0.125)) / 2
    assert done["metrics"]["eval_loss"] == pytest.approx(entropy, abs=0.01)  # the least a cross-entropy can be
    assert done["metrics"]["eval_calibration_error"] < 0.05


def test_the_loss_is_the_cross_entropy_of_a_token_classifier(make_run, base_model, tmp_path):
    """What transformers computes from labels at the ends of steps, -100 elsewhere; so did TRL's trainer."""
    import torch
    from transformers import AutoModelForTokenClassification, AutoTokenizer

    folder = tiny_step_model(tmp_path / "process", base_model)
    rows = list(planted_traces(8, seed=5))
    rows[1]["labels"][2] = None
    run_dir = make_run("prm", train=rows, held_out=rows, model=folder, max_steps=1, per_device_train_batch_size=8)
    train_here(run_dir)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForTokenClassification.from_pretrained(folder).eval()
    losses = []
    for row in rows:
        ids = tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True, return_dict=True)["input_ids"]
        labels = [-100] * len(ids)
        for step, label in zip(row["completions"], row["labels"], strict=True):
            more = [t for text in (step, "\n\n") for t in tokenizer(text, add_special_tokens=False)["input_ids"]]
            ids += more
            labels += [-100] * (len(more) - 1) + [-100 if label is None else int(label)]
        with torch.no_grad():
            given = model(torch.tensor([ids]), labels=torch.tensor([labels]))
        losses += [given.loss.item()] * sum(label != -100 for label in labels)
    expected = sum(losses) / len(losses)
    assert curve(run_dir, "eval_loss")[0] == pytest.approx(expected, abs=1e-5)
    assert curve(run_dir, "loss")[0] == pytest.approx(expected, abs=1e-5)


def test_accumulated_batches_are_one_large_batch(make_run):
    rows = list(planted_traces(16, seed=2))
    for row in rows[::3]:
        row["labels"][1:] = [None] * 3  # batches with few labels must not count as much as those with many
    same = {"train": rows, "held_out": [], "max_steps": 3, "lora": False, "learning_rate": 1e-3}
    whole = make_run("prm", per_device_train_batch_size=16, **same)
    parts = make_run("prm", per_device_train_batch_size=4, gradient_accumulation_steps=4, **same)
    for run_dir in (whole, parts):
        train_here(run_dir)
    assert curve(parts, "loss") == pytest.approx(curve(whole, "loss"), abs=1e-4)


def test_a_stopped_run_started_again_ends_as_one_that_was_never_stopped(make_run):
    settings = {"max_steps": 24, "save_steps": 4, "learning_rate": 0.002, "per_device_train_batch_size": 4}
    stopped, whole = make_run("prm", **settings), make_run("prm", **settings)
    watch = threading.Thread(target=stop_after, args=(stopped, 6))
    watch.start()
    first = train_here(stopped)
    watch.join()
    Stop.asked = False
    assert first["status"] == "stopped" and 6 <= first["step"] < 24
    done, other = train_here(stopped), train_here(whole)
    assert done["status"] == "succeeded" and done["step"] == 24 and done["tokens"] == other["tokens"]
    assert done["metrics"]["eval_loss"] == pytest.approx(other["metrics"]["eval_loss"], abs=1e-5)
    losses = {line["step"]: line["values"]["loss"] for line in metrics(stopped) if "loss" in line["values"]}
    assert list(losses.values()) == pytest.approx(curve(whole, "loss"), abs=1e-5)


def stop_after(run_dir, step):
    until = time.monotonic() + 60
    while time.monotonic() < until and not any(line["step"] >= step for line in whole_lines(run_dir)):
        time.sleep(0.002)
    Stop.asked = True


def whole_lines(run_dir):
    path = run_dir / "metrics.jsonl"
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def test_long_traces_are_learned_in_windows_and_counted(make_run):
    rows = [*planted_traces(12, steps=4), *planted_traces(4, seed=1, steps=60)]
    rows[0]["completions"][1] = "word " * 400
    rows[1]["prompt"] = say("user", "word " * 400)
    run_dir = make_run("prm", train=rows, held_out=rows[12:14], max_length=120, **QUICK | {"max_steps": 2})
    counted = train_here(run_dir)["metrics"]
    assert (counted["rows"], counted["dropped"], counted["cut"], counted["windowed"]) == (15, 1, 1, 5)


@pytest.mark.parametrize(("weight", "expected"), [(1.0, 0.75), (0.0, 0.5), (9.0, 0.25)])
def test_bad_steps_count_as_often_as_they_are_told_to(make_run, weight, expected):
    """Steps that cannot be told apart, a quarter of them bad: their score is the share of good ones, as weighted."""
    rows = [{"prompt": say("user", "Why?"), "completions": ["So."], "labels": [at % 4 > 0]} for at in range(32)]
    settings = QUICK | {"per_device_train_batch_size": 32, "bad_step_weight": weight, "sample_every": 30, "samples": 1}
    run_dir = make_run("prm", train=rows, held_out=rows[:4], **settings)
    train_here(run_dir)
    assert samples(run_dir)[-1]["reward"] == pytest.approx(expected, abs=0.03)


def test_the_model_card_shows_how_to_score_and_its_code_runs(make_run):
    for name in ("prm", "orm"):
        run_dir = make_run(name, held_out=[], max_steps=1)
        train_here(run_dir)
        card = (run_dir / "model" / "README.md").read_text()
        code = card.split("```python\n")[1].split("```")[0]
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(code, {"folder": str(run_dir / "model")})
        assert json.loads(said.getvalue()) == pytest.approx([0.5, 0.5] if name == "prm" else 0.5, abs=0.1)
        config = json.loads((run_dir / "model" / "config.json").read_text())
        assert config["step_separator"] == "\n\n" and config["step_window"] == 1024


@pytest.mark.long
def test_two_processes_make_one_model(make_run):
    from tests.training.recipes.conftest import result, start

    run_dir = make_run("prm", train=planted_traces(32), max_steps=4, sample_every=2, save_steps=2)
    launch = ("-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1")
    launch += ("--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0")
    assert start(run_dir, *launch).wait(timeout=240) == 0, (run_dir / "log.txt").read_text()[-3000:]
    assert result(run_dir)["status"] == "succeeded" and len(curve(run_dir, "loss")) == 4
    assert len(curve(run_dir, "eval_loss")) == 2 and {sample["step"] for sample in samples(run_dir)} == {2, 4}
