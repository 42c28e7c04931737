"""Learning in bf16 goes as it does in fp32: the curves differ by no more than those of another order of the rows."""

import pytest

from tests.training.recipes.conftest import curve, planted_pairs, train_here

pytestmark = [pytest.mark.training, pytest.mark.long]
STEPS, WINDOW = 200, 20


@pytest.mark.parametrize("name", ["dpo", "reward_model", "sft"])
def test_two_hundred_steps_in_bf16_stay_within_the_noise_of_fp32(make_run, monkeypatch, name):
    """Noise: how far two runs in fp32 are apart whose rows come in another order. All of attention is in bf16 too."""
    monkeypatch.setattr("training.engine.attention.SMALL", 0)
    runs = {"fp32": {"precision": "fp32"}, "bf16": {"precision": "bf16"}, "other": {"precision": "fp32", "seed": 2}}
    smooth = {}
    for how, own in runs.items():
        settings = {"max_steps": STEPS, "per_device_train_batch_size": 4, "lora": False, "learning_rate": 3e-4}
        settings |= {"max_length": 128, "logging_steps": 1, "eval_on_start": False, "save_steps": 0, "samples": 0}
        run_dir = make_run(name, list(planted_pairs(200)), [], **settings | own)
        train_here(run_dir)
        losses = curve(run_dir, "loss")
        assert len(losses) == STEPS
        smooth[how] = [sum(losses[at : at + WINDOW]) / WINDOW for at in range(0, STEPS, WINDOW)]
    apart = {how: max(abs(a - b) for a, b in zip(smooth["fp32"], smooth[how], strict=True)) for how in runs}
    assert 0 < apart["bf16"] <= apart["other"], (name, apart, smooth)
    assert smooth["bf16"][-1] < smooth["bf16"][0]
