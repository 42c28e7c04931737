"""Online DPO and best of N: a policy that learns from its own answers, ranked or chosen by rewards."""

import json

import pytest

from tests.training.recipes.conftest import curve, metrics, result, rollouts, train_here
from tests.training.recipes.test_ppo import Killed, assert_equal_weights, questions
from training.recipes import best_of_n, online_dpo, recipe
from training.recipes.config import read

pytestmark = pytest.mark.training
SHORT = {"max_completion_length": 6, "max_length": 64, "lora": False, "rewards": "length -0.05 unit=characters"}


@pytest.fixture
def make_own(make_run):
    def make(name, **settings):
        return make_run(name, list(questions(24)), list(questions(4)), **SHORT | settings)

    return make


def test_online_dpo_learns_which_of_its_answers_are_better(make_own):
    settings = {"per_device_train_batch_size": 32, "gradient_accumulation_steps": 1, "num_generations": 4}
    run_dir = make_own("online_dpo", max_steps=25, learning_rate=0.003, beta=0.1, sample_every=20, **settings)
    done = train_here(run_dir)
    assert done["status"] == "succeeded" and done["step"] == 25
    rewards = curve(run_dir, "reward")
    assert sum(rewards[-4:]) / 4 > sum(rewards[:4]) / 4 + 0.05
    steps = [line["values"] for line in metrics(run_dir) if "loss" in line["values"]]
    assert steps[0]["loss"] == pytest.approx(0.6931, abs=1e-3)  # ln 2: the policy is its own reference
    assert {"rewards/margins", "rewards/accuracies", "frac_reward_zero_std", "num_tokens"} <= steps[0].keys()
    samples = [json.loads(line) for line in (run_dir / "samples.jsonl").read_text().splitlines()]
    assert {sample["step"] for sample in samples} == {20, 25} and "length" in samples[0]["parts"]
    for group in rollouts(run_dir):
        marked = {one["mark"]: one for one in group["completions"] if "mark" in one}
        assert not marked or marked["chosen"]["reward"] > marked["rejected"]["reward"]
        assert all("kl" in one for one in marked.values())


def test_equal_rewards_make_no_pair_and_leave_the_policy_alone(make_own, base_model):
    run_dir = make_own("online_dpo", max_steps=2, rewards="regex 1 pattern=zzz")
    train_here(run_dir)
    assert curve(run_dir, "frac_reward_zero_std") == [1, 1] and curve(run_dir, "loss") == [0, 0]
    assert_equal_weights(run_dir / "model", base_model)


def test_an_interrupted_online_dpo_ends_as_one_that_was_not(make_own, monkeypatch):
    settings = {"max_steps": 4, "save_steps": 2, "learning_rate": 0.003, "eval_steps": 1, "gold": "length 0.1"}
    whole, killed = make_own("online_dpo", **settings), make_own("online_dpo", **settings)
    train_here(whole)
    with monkeypatch.context() as patch:
        plain = online_dpo.Learner.learn

        def dies(learner, rollout, step, total):
            if step == 4:
                raise Killed
            return plain(learner, rollout, step, total)

        patch.setattr(online_dpo.Learner, "learn", dies)
        with pytest.raises(Killed):
            train_here(killed)
    train_here(killed)
    assert_equal_weights(whole / "model", killed / "model")
    assert result(whole)["gold"] == result(killed)["gold"]


BEST = {"max_steps": 6, "learning_rate": 0.002, "num_generations": 4, "per_device_train_batch_size": 8}


@pytest.fixture
def ending(monkeypatch):
    """The random model hardly ever ends an answer: every third token ends it too."""
    from training.recipes import actor_critic

    plain = actor_critic.ActorCritic.__init__

    def init(actor, *args, **kwargs):
        plain(actor, *args, **kwargs)
        actor.ends = actor.ends | frozenset(range(0, 512, 3))

    monkeypatch.setattr(actor_critic.ActorCritic, "__init__", init)


def test_best_of_n_imitates_the_best_of_its_answers(make_own, ending):
    run_dir = make_own("best_of_n", **BEST)
    done = train_here(run_dir)
    assert done["status"] == "succeeded" and done["step"] == 6
    drawn = [json.loads(line) for line in (run_dir / "drawn.jsonl").read_text().splitlines()]
    assert {line["split"] for line in drawn} == {"train", "eval"} and len(drawn) == 28
    assert all(line["reward"] >= line["mean"] - 1e-9 for line in drawn if line["reward"] is not None)
    groups = rollouts(run_dir)
    assert len(groups) == 24 and all([one.get("mark") for one in g["completions"]].count("best") == 1 for g in groups)
    first = metrics(run_dir)[0]["values"]
    assert first["reward_best"] > first["reward"] and curve(run_dir, "loss")[-1] < curve(run_dir, "loss")[0]


def test_what_was_drawn_before_a_kill_is_not_drawn_again(make_own, ending, monkeypatch):
    monkeypatch.setattr(best_of_n, "AT_ONCE", 8)
    whole, killed = make_own("best_of_n", **BEST), make_own("best_of_n", **BEST)
    train_here(whole)
    lines = (whole / "drawn.jsonl").read_text().splitlines(keepends=True)
    (killed / "drawn.jsonl").write_text("".join(lines[:11]) + lines[11][:20])
    train_here(killed)
    again = [json.loads(line) for line in (killed / "drawn.jsonl").read_text().splitlines() if line.endswith("}")]
    assert len(again) == 11 + 16 + 4 and {str(line) for line in again} == {str(json.loads(line)) for line in lines}
    assert_equal_weights(whole / "model", killed / "model")


def test_nothing_good_enough_says_so(make_own, ending):
    from training.recipes.rows import BadData

    with pytest.raises(BadData, match="no answer to any of the 24 prompts"):
        train_here(make_own("best_of_n", threshold=5.0, **BEST))


def test_settings_are_checked():
    def wrong(name, **settings):
        return "; ".join(recipe(name).problems(read(recipe(name).Config, settings)))

    assert "makes no pair" in wrong("online_dpo", num_generations=1)
    assert "teach nothing" in wrong("online_dpo", beta=0.0)
    assert wrong("best_of_n") == "" and "rewards: " in wrong("best_of_n", rewards="")
