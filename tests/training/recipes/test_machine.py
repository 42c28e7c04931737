"""What a training asks of its machine: memory that is found again, threads that do not stand in others' way."""

import json
import os
import subprocess
import sys

from training.recipes import machine

ALLOCATES = """
import os, json, resource
from training.recipes import machine
machine.without_thread_cache()
machine.keep_freed_memory()
import torch
found, touched = [], lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for size in [20_000_000, 1000] * 6:
    before, block = touched(), torch.ones(size)
    found.append((block.data_ptr(), touched() - before))
    del block
print(json.dumps([os.getpid(), found[2::2]]))
"""


def test_a_freed_block_is_found_again_and_the_process_keeps_its_number():
    env = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    process = subprocess.Popen([sys.executable, "-c", ALLOCATES], stdout=subprocess.PIPE, text=True, env=env)
    number, found = json.loads(process.communicate(timeout=120)[0])
    assert process.returncode == 0 and number == process.pid
    assert len({address for address, _ in found}) == 1 and max(touched for _, touched in found) < 100


def test_threads_wait_asleep_only_where_others_are_at_work(monkeypatch):
    import psutil

    for busy, wanted in ((3.0, None), (80.0, "PASSIVE")):
        monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
        monkeypatch.setattr(psutil, "cpu_percent", lambda interval, busy=busy: busy)
        monkeypatch.setattr(machine, "keep_freed_memory", lambda: None)
        for name in (
            "OMP_NUM_THREADS",
            "TOKENIZERS_PARALLELISM",
            "CUDA_VISIBLE_DEVICES",
            "HF_HUB_DISABLE_PROGRESS_BARS",
        ):
            monkeypatch.setenv(name, "1")
        machine.prepare("", "cpu")
        assert os.environ.get("OMP_WAIT_POLICY") == wanted
        assert bool(machine.savings("cpu")) == (wanted is None) and not machine.savings("cuda")
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    machine.prepare("", "cpu")
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"  # a person decides


def test_moments_taken_beforehand_change_no_step_and_known_ones_stay():
    import torch

    found = []
    for beforehand in (False, True):
        weight = torch.nn.Parameter(torch.linspace(-1, 1, 6))
        optimizer = torch.optim.AdamW([weight], fused=True)
        for _ in range(3):
            if beforehand:
                machine.reserve_moments(optimizer)
                assert optimizer.state[weight]["exp_avg"].shape == weight.shape
            weight.grad = weight.detach().cos()
            optimizer.step()
        found.append((weight.detach(), optimizer.state[weight]))
    (plain, state), (early, its) = found
    assert torch.equal(plain, early) and state.keys() == its.keys()
    assert all(torch.equal(state[name], its[name]) and state[name].dtype == its[name].dtype for name in state)
