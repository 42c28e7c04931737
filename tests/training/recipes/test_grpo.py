"""GRPO and RLOO on TRL's trainers: they learn, leave out what teaches nothing, and change no number by it."""

import json

import pytest

from tests.training.recipes.conftest import curve, metrics, rollouts, train_here
from tests.training.recipes.test_ppo import Killed, assert_equal_weights, questions, steps_of
from training.recipes import recipe
from training.recipes.config import read
from training.recipes.recorder import Recorder

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.training
SHORT = {"max_completion_length": 6, "max_length": 64, "per_device_train_batch_size": 32, "learning_rate": 0.008}
SHORT |= {
    "gradient_accumulation_steps": 1,
    "num_generations": 8,
    "rewards": "length -0.05 unit=characters",
    "lora": False,
}


@pytest.fixture
def make_group(make_run):
    def make(name="grpo", **settings):
        return make_run(name, list(questions()), list(questions(4)), **SHORT | {"max_steps": 3} | settings)

    return make


@pytest.mark.parametrize("name", ["grpo", "rloo"])
def test_a_policy_learns_what_is_rewarded(make_group, name):
    run_dir = make_group(name, max_steps=20, sample_every=10, beta=0.01)
    done = train_here(run_dir)
    assert done["status"] == "succeeded" and done["step"] == 20
    rewards = curve(run_dir, "reward")
    assert sum(rewards[-4:]) / 4 > sum(rewards[:4]) / 4 + 0.08 and len(curve(run_dir, "eval_reward")) == 2
    steps = [line["values"] for line in metrics(run_dir) if "loss" in line["values"]]
    wanted = {"reward", "reward_std", "rewards/length/mean", "frac_reward_zero_std", "completions/mean_length", "kl"}
    assert wanted <= steps[0].keys()
    samples = [json.loads(line) for line in (run_dir / "samples.jsonl").read_text().splitlines()]
    assert len(samples) == 64 and samples[0]["parts"].keys() >= {"length", "advantage"}
    groups = rollouts(run_dir)
    assert len(groups) == 20 * 4 and {len(group["completions"]) for group in groups} == {8}
    for step, line in enumerate(steps, 1):
        told = [one for group in groups if group["step"] == step for one in group["completions"]]
        assert sum(one["reward"] for one in told) / 32 == pytest.approx(line["reward"], abs=1e-4)
        assert all(one["reward"] == pytest.approx(-0.05 * one["parts"]["length"]) for one in told)
    assert all(abs(sum(one["advantage"] for one in group["completions"])) < 1e-3 for group in groups)
    assert all(one["kl"] == pytest.approx(0, abs=1e-4) for group in groups[:4] for one in group["completions"])
    assert sum(one["kl"] for group in groups[-8:] for one in group["completions"] if "kl" in one) > 0.1


@pytest.mark.parametrize("name", ["grpo", "rloo"])
def test_prompts_fewer_than_a_step_draws_are_taken_several_times(make_run, name):
    run_dir = make_run(name, list(questions(3)), [], **SHORT | {"max_steps": 2})  # 32 completions in groups of 8
    assert train_here(run_dir)["step"] == 2
    groups = rollouts(run_dir)
    assert len(groups) == 8 and {len(group["completions"]) for group in groups} == {8}


def trainer_of(run_dir, quick=True):
    """The trainer as the recipe makes it, before its first step; not `quick`: as TRL has it."""
    from training.recipes.loop import Session

    caught = []
    said = json.loads((run_dir / "config.json").read_text())
    module = recipe(said["recipe"])
    plain = Session.fit

    def fit(session, trainer, sample):
        if quick:
            session.quicken(trainer)
        caught.append(trainer)

    Session.fit = fit
    try:
        module.train(read(module.Config, said["settings"]), run_dir)
    finally:
        Session.fit = plain
    trainer = caught[0]
    trainer.current_gradient_accumulation_steps = 1
    trainer.model.train()
    return trainer


def test_of_a_long_run_whole_groups_are_kept_from_its_first_step_to_its_last(make_group):
    run_dir = make_group(max_steps=8, rollouts_kept=8 * 8)
    train_here(run_dir)
    groups = rollouts(run_dir)
    assert [group["step"] for group in groups] == list(range(1, 9))
    assert all(len(group["completions"]) == 8 for group in groups)
    assert groups[0]["completions"][0].keys() == {
        *("completion", "reward", "parts", "why", "advantage", "tokens", "ended")
    }  # without a reference there is no KL


GOLD = {"gold": "length 0.05; length -1 unit=characters target=14 limit=20", "gold_patience": 9, "eval_steps": 1}


@pytest.mark.parametrize(("name", "step"), [("grpo", 4), ("grpo", 6), ("rloo", 6)])
def test_a_run_that_dies_ends_as_one_that_did_not_to_the_last_bit(make_group, monkeypatch, name, step):
    """Killed at the start of a pass over the prompts (a pass is two steps), and in its middle."""
    settings = GOLD | {"max_steps": 7, "save_steps": step - 1 if step == 4 else step - 2, "beta": 0.02, "resample": 1}
    whole, killed = make_group(name, **settings), make_group(name, **settings)
    first = train_here(whole)
    with monkeypatch.context() as patch:
        plain = Recorder.on_step_end

        def dies(recorder, args, state, control, **more):
            if state.global_step == step:
                raise Killed
            return plain(recorder, args, state, control, **more)

        patch.setattr(Recorder, "on_step_end", dies)
        with pytest.raises(Killed):
            train_here(killed)
    again = train_here(killed)
    ours, theirs = steps_of(whole), steps_of(killed)
    for at, values in ours.items():
        assert {key: theirs[at][key] for key in values if key != "step_time"} == without(values, "step_time"), at
    assert first["gold"] == again["gold"] and first["gold"]["step"] < 7
    assert_equal_weights(whole / "model", killed / "model")


def without(values, name):
    return {key: value for key, value in values.items() if key != name}


@pytest.mark.parametrize("loss_type", ["dapo", "grpo", "dr_grpo", "bnpo"])
def test_leaving_out_equal_groups_changes_neither_loss_nor_gradient(make_group, loss_type):
    trainer = trainer_of(make_group(loss_type=loss_type, temperature=0.8))
    batch = trainer._generate_and_score_completions([trainer.train_dataset[at // 8] for at in range(32)])
    batch["advantages"][8:24] = 0
    batch["teaches"][8:24] = False
    quick = trainer._compute_loss(trainer.model, batch)
    quick.backward()
    slopes = {name: p.grad.clone() for name, p in trainer.model.named_parameters()}
    trainer.model.zero_grad()
    plain = super(type(trainer), trainer)._compute_loss(trainer.model, batch)
    plain.backward()
    assert quick.item() == pytest.approx(plain.item(), abs=1e-6)
    for name, p in trainer.model.named_parameters():
        assert torch.allclose(slopes[name], p.grad, atol=1e-6)


def test_equal_rewards_teach_nothing_and_pass_through_no_model(make_group):
    trainer = trainer_of(make_group(rewards="regex 1 pattern=zzzz", beta=0.1))
    batch = trainer._generate_and_score_completions([trainer.train_dataset[at // 8] for at in range(32)])
    assert batch["advantages"].abs().max() == 0
    trainer.model.forward = None  # not called
    loss = trainer._compute_loss(trainer.model, batch)
    loss.backward()
    assert loss.item() == 0 and all(p.grad is None or p.grad.abs().max() == 0 for p in trainer.model.parameters())


def test_a_group_without_spread_gives_its_place_to_another_prompt(make_group):
    trainer = trainer_of(make_group(rewards="length -0.05 unit=characters", resample=2))
    first = trainer.train_dataset[0]
    asked = []
    trainer.spread = lambda inputs, drawn, start: asked.append(inputs[start]["row"]) or inputs[start]["row"] != 0
    inputs, drawn = trainer.draw_with_spread([first] * 8)
    assert asked[0] == 0 and inputs[0]["row"] != 0 or len(asked) == 3
    assert len({one["row"] for one in inputs}) == 1 and all(drawn)


def test_a_completion_drawn_twice_is_scored_once(make_group):
    trainer = trainer_of(make_group(temperature=1e-4))
    calls = []
    plain = trainer.scores

    def scores(answers):
        calls.extend(answer.key for answer in answers)
        return plain(answers)

    trainer.scores = scores
    trainer._generate_and_score_completions([trainer.train_dataset[at // 8] for at in range(16)])
    assert len(set(calls)) == 2 and len(trainer.known) == 2


def test_a_group_of_one_is_refused():
    found = "; ".join(recipe("grpo").problems(read(recipe("grpo").Config, {"num_generations": 1})))
    assert "compares a completion with nothing" in found


def test_presets_are_settings_that_train():
    for name in ("ppo", "grpo", "rloo"):
        for preset in recipe(name).PRESETS.values():
            assert recipe(name).problems(read(recipe(name).Config, dict(preset))) == []
