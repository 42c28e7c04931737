"""Where a step's seconds go is told by every recipe that draws: each second once, and evaluations apart."""

import pytest

from tests.training.recipes.conftest import metrics, train_here
from tests.training.recipes.test_ppo import SHORT, questions

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.training
SETTINGS = SHORT | {"max_steps": 3, "save_steps": 1, "eval_steps": 1, "sample_every": 1, "num_generations": 4}
SETTINGS |= {"gold": "length -1 unit=characters", "per_device_train_batch_size": 32, "gradient_accumulation_steps": 1}


@pytest.fixture
def seconds(monkeypatch):
    """Time stands still but for drawing, 1 s a call, rewards, 10 s, and updates, 100 s."""
    from training.recipes import clock, drawing, generate, learned

    now = [0.0]

    def takes(count, work):
        def slow(*args, **options):
            now[0] += count
            return work(*args, **options)

        return slow

    monkeypatch.setattr(clock, "perf_counter", lambda: now[0])
    for module in (drawing, generate):
        monkeypatch.setattr(module, "draw", takes(1, generate.draw))
    monkeypatch.setattr(learned, "scored", takes(10, learned.scored))
    monkeypatch.setattr(torch.optim.AdamW, "step", takes(100, torch.optim.AdamW.step))


@pytest.mark.parametrize(
    ("name", "own", "updates"),
    [("grpo", {}, 1), ("rloo", {}, 1), ("online_dpo", {}, 1), ("ppo", {"num_ppo_epochs": 2, "num_mini_batches": 2}, 4)],
)
def test_every_second_of_a_step_is_told_once_and_evaluations_are_no_part_of_it(make_run, seconds, name, own, updates):
    run_dir = make_run(name, list(questions()), list(questions(4)), **SETTINGS | own)
    train_here(run_dir)
    lines = [line["values"] for line in metrics(run_dir)]
    steps = [values for values in lines if "loss" in values]
    told = {"time/draw": 1.0, "time/rewards": 10.0, "time/learn": 100.0 * updates, "time/other": 0.0}
    assert [{key: value for key, value in values.items() if key.startswith("time/")} for values in steps] == [told] * 3
    assert {values["seconds_per_step"] for values in steps} == {11.0 + 100 * updates}
    assert sum("eval_gold" in values for values in lines) >= 3
