"""Stopping, dying and failing: what is on disk afterwards can be resumed, and the result says what to try."""

import errno
import json
import os
import re
import signal
import time
from pathlib import Path

import pytest

from tests.training.recipes.conftest import curve, metrics, planted_pairs, result, start, train_here
from training.recipes.run import Diverged, classify, explain

pytestmark = pytest.mark.training


def wait_for_step(run_dir, step, seconds=90):
    until = time.time() + seconds
    while time.time() < until:
        if any(line["step"] >= step for line in complete_lines(run_dir)):
            return
        time.sleep(0.05)
    raise AssertionError((run_dir / "log.txt").read_text()[-2000:])


def complete_lines(run_dir):
    path = run_dir / "metrics.jsonl"
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def test_sigterm_finishes_the_step_and_saves_and_a_second_start_goes_on(make_run):
    run_dir = make_run("dpo", max_steps=3000, learning_rate=0.001)
    child = start(run_dir)
    wait_for_step(run_dir, 3)
    child.send_signal(signal.SIGTERM)
    assert child.wait(timeout=60) == 0
    stopped = result(run_dir)
    assert stopped["status"] == "stopped" and 3 <= stopped["step"] < 3000 and stopped["total"] == 3000
    assert (run_dir / "model" / "model.safetensors").exists()
    assert (run_dir / "checkpoints" / f"checkpoint-{stopped['step']}").is_dir()

    config = json.loads((run_dir / "config.json").read_text())
    config["settings"]["max_steps"] = stopped["step"] + 2
    (run_dir / "config.json").write_text(json.dumps(config))
    done = train_here(run_dir)
    assert done["status"] == "succeeded" and done["step"] == stopped["step"] + 2
    assert [line["step"] for line in metrics(run_dir)].count(stopped["step"]) <= 2
    assert done["tokens"] > stopped["tokens"]
    assert not (run_dir / "checkpoints").exists()


def wait_until_it_listens(pid, seconds=60):
    """Until the process catches SIGTERM."""
    until = time.time() + seconds
    while time.time() < until:
        caught = re.search(r"^SigCgt:\s*(\w+)", Path(f"/proc/{pid}/status").read_text(), re.M).group(1)
        if int(caught, 16) >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.02)
    raise AssertionError("it never listened")


@pytest.mark.parametrize("name", ["dpo", "reward_model", "sft"])
def test_a_run_that_still_loads_ends_at_once_when_asked_to_stop(make_run, name):
    run_dir = make_run(name, max_steps=3000)
    child = start(run_dir)
    wait_until_it_listens(child.pid)
    time.sleep(0.5)  # it imports torch and TRL now, for seconds
    child.send_signal(signal.SIGTERM)
    assert child.wait(timeout=10) == 0
    stopped = result(run_dir)
    assert (stopped["status"], stopped["step"], stopped["error"]) == ("stopped", 0, None)
    assert not (run_dir / "model").exists() and not (run_dir / "metrics.jsonl").exists()


def test_a_killed_run_started_again_ends_as_one_that_was_never_killed(make_run):
    settings = {"max_steps": 30, "save_steps": 5, "learning_rate": 0.002, "lora_layers": 1}
    killed, whole = make_run("reward_model", **settings), make_run("reward_model", **settings)
    child = start(killed)
    wait_for_step(killed, 12)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    assert not (killed / "result.json").exists()
    with (killed / "metrics.jsonl").open("a") as file:
        file.write('{"step": 13, "tot')  # a kill in the middle of a line
    done, other = train_here(killed), train_here(whole)
    assert done["status"] == "succeeded" and done["step"] == 30
    last = {line["step"]: line["values"] for line in complete_ok(killed)}
    for line in metrics(whole):
        if "loss" in line["values"]:
            assert last[line["step"]]["loss"] == pytest.approx(line["values"]["loss"], rel=1e-3, abs=1e-5)
    assert done["metrics"]["eval_margin"] == pytest.approx(other["metrics"]["eval_margin"], rel=1e-2)
    assert done["tokens"] == other["tokens"]


def complete_ok(run_dir):
    """Lines by step, later ones of a resumed run last; the torn one is skipped."""
    for line in (run_dir / "metrics.jsonl").read_text().splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if "loss" in record["values"]:
            yield record


def test_half_a_checkpoint_is_never_resumed_from(make_run):
    run_dir = make_run("reward_model", max_steps=4)
    partial = run_dir / "checkpoints" / ".partial" / "checkpoint-3"
    partial.mkdir(parents=True)
    (partial / "trainer_state.json").write_text("{")
    assert train_here(run_dir)["step"] == 4


def test_a_loss_that_is_not_a_number_ends_the_run_and_says_what_to_try(make_run):
    run_dir = make_run("sft", lora=False, max_steps=30, learning_rate=0.1, max_grad_norm=1e9, weight_decay=1e18)
    with pytest.raises(Diverged):
        train_here(run_dir)
    assert curve(run_dir, "loss")[-1] in {"NaN", "Infinity"}
    said = explain(Diverged("the loss was nan at step 3"))
    assert said["class"] == "crash" and "learning_rate" in said["advice"]


def test_bad_rows_end_the_run_as_bad_data(make_run):
    run_dir = make_run("dpo")
    with (run_dir / "dataset" / "train.jsonl").open("a") as file:
        file.write('{"prompt": [{"role": "user"}]}\n')
    assert start(run_dir).wait(timeout=90) == 1
    error = result(run_dir)["error"]
    assert error["class"] == "bad_data" and "train.jsonl line 49" in error["message"]


def test_a_dataset_with_nothing_short_enough_says_so(make_run):
    run_dir = make_run("dpo", max_length=8)
    from training.recipes.rows import BadData

    with pytest.raises(BadData, match="all 48 rows of train.jsonl are longer than max_length 8"):
        train_here(run_dir)


def test_failures_are_told_apart():
    import torch

    for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        assert classify(OSError(code, os.strerror(code))) == "disk_full"
    assert classify(RuntimeError("I/O error: No space left on device (os error 28)")) == "disk_full"
    assert classify(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")) == "out_of_memory"
    assert classify(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")) == (
        "out_of_memory"
    )
    assert classify(MemoryError()) == "out_of_memory"
    assert classify(KeyError("x")) == "crash"
    for error in (MemoryError(), OSError(errno.ENOSPC, "full"), KeyError("x")):
        assert explain(error)["advice"] and explain(error)["message"]


def test_two_processes_make_one_model(make_run):
    run_dir = make_run("dpo", train=planted_pairs(32), max_steps=4, learning_rate=0.002, save_steps=2)
    launch = ("-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1")
    launch += ("--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0")
    assert start(run_dir, *launch).wait(timeout=240) == 0, (run_dir / "log.txt").read_text()[-3000:]
    done = result(run_dir)
    assert done["status"] == "succeeded" and done["step"] == 4 and "× 2" in done["device"]
    steps = [line["step"] for line in metrics(run_dir) if "loss" in line["values"]]
    assert steps == [1, 2, 3, 4]
    assert (run_dir / "model" / "model.safetensors").exists() and not (run_dir / "model.partial").exists()
