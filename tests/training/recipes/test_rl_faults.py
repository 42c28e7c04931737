"""What can go wrong where a policy draws its own data: each ends in a clear state, and nothing is learned from it."""

import json
import math

import pytest

from tests.training.recipes.conftest import curve, result, start, train_here
from tests.training.recipes.test_ppo import QUICK, SHORT, learner_of, questions
from training.recipes import scoring
from training.recipes.preflight import preflight
from training.recipes.rows import BadData
from training.recipes.run import explain
from training.rewards import REWARDS, Kind, RewardFailed

pytestmark = pytest.mark.training
RECIPES = ("ppo", "grpo", "online_dpo")


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    """What failed is asked again without a pause."""
    monkeypatch.setattr(scoring, "rest", lambda seconds: None)


@pytest.fixture
def reward(monkeypatch):
    """Make a reward of the name `odd` of a function of one completion's text."""

    def make(function):
        def odd(argument=""):
            return lambda prompts, completions, **_: function([one[-1]["content"] for one in completions])

        monkeypatch.setitem(REWARDS, "odd", Kind("A reward of a test.", odd))

    return make


@pytest.fixture
def make_odd(make_run):
    def make(name="ppo", **settings):
        settings = SHORT | QUICK | {"max_steps": 4, "rewards": "odd 1", "gradient_accumulation_steps": 1} | settings
        return make_run(name, list(questions()), list(questions(2)), **settings | {"eval_on_start": False})

    return make


@pytest.mark.parametrize("name", RECIPES)
def test_a_reward_that_keeps_raising_ends_the_run_and_is_named(reward, make_odd, name):
    def raises(texts):
        raise ZeroDivisionError("a mistake of its own")

    reward(raises)
    with pytest.raises(RewardFailed, match="odd raised ZeroDivisionError: a mistake of its own, 3 times in a row"):
        train_here(make_odd(name))


def test_a_reward_that_fails_once_is_asked_again(reward, make_odd):
    calls = []

    def fails_once(texts):
        calls.append(len(texts))
        if len(calls) == 1:
            raise ConnectionError("restarting")
        return [float(len(text)) for text in texts]

    reward(fails_once)
    assert train_here(make_odd(max_steps=1))["status"] == "succeeded"
    assert calls[0] == calls[1]


def test_failures_of_rewards_are_a_class_of_their_own():
    said = explain(RewardFailed("The reward odd raised ZeroDivisionError: no, 3 times in a row."))
    assert said["class"] == "reward_failed" and "take it off the list" in said["advice"]


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
@pytest.mark.parametrize("name", RECIPES)
def test_a_reward_that_never_gives_a_number_teaches_nothing_and_says_so(reward, make_odd, name, value):
    reward(lambda texts: [value for _ in texts])
    with pytest.raises(BadData, match="no reward applies to any of the 32 completions of step 1"):
        train_here(make_odd(name, num_generations=8))


@pytest.mark.parametrize("said", [[], "text", ["text"] * 32, [1.0]])
def test_a_reward_of_the_wrong_form_ends_the_run_at_once(reward, make_odd, said):
    reward(lambda texts: said)
    with pytest.raises(RewardFailed, match="The reward odd returned"):
        train_here(make_odd())


@pytest.mark.parametrize("value", [None, math.nan])
def test_completions_without_a_reward_are_left_out_of_the_rollout(reward, make_odd, value):
    reward(lambda texts: [value if at % 2 else 1.0 for at, _ in enumerate(texts)])
    learner = learner_of(make_odd())
    rollout = learner.roll_out(learner.session.train_rows.rows[:4], 1)
    assert 0 < len(rollout.prompts) < 32 and all(score.total == 1.0 for score in rollout.scores)
    assert len(rollout.mask) == len(rollout.scores) == len(rollout.said.log_probs) == len(rollout.advantages)
    learner.learn(rollout, 1, 1)


@pytest.mark.parametrize("name", RECIPES)
def test_prompts_that_leave_no_room_are_left_out_and_counted(make_run, name):
    long = {"prompt": [{"role": "user", "content": "word " * 200}], "reference": "1"}
    settings = SHORT | QUICK | {"max_steps": 1, "gradient_accumulation_steps": 1, "eval_on_start": False}
    run_dir = make_run(name, [long, *questions(7)], list(questions(2)), **settings)
    report = preflight(run_dir)
    assert report["rows"]["train"] == {"rows": 8, "kept": 7, "dropped": 1, "cut": 0}
    assert any("leaves no room for max_completion_length tokens" in text for text in report["warnings"])
    assert report["estimate"]["steps"] == 1 and report["examples"][0].keys() == {"prompt"}
    assert train_here(run_dir)["metrics"]["dropped"] == 1
    with pytest.raises(BadData, match="all 3 rows of train.jsonl are longer than max_length 64"):
        train_here(make_run(name, [long] * 3, [], **settings))


@pytest.mark.parametrize("name", RECIPES)
def test_a_policy_that_ends_at_once_still_trains(make_odd, reward, monkeypatch, name):
    from training.recipes import drawing, generate

    plain = generate.draw

    def at_once(*args, eos, **options):
        return plain(*args, eos=frozenset(range(512)), **options)

    for module in (generate, drawing):
        monkeypatch.setattr(module, "draw", at_once)
    reward(lambda texts: [float(len(text)) for text in texts])
    run_dir = make_odd(name, max_steps=2)
    assert train_here(run_dir)["status"] == "succeeded"
    assert curve(run_dir, "completions/mean_length") == [1.0, 1.0]


def test_a_verifier_without_its_reference_is_found_before_the_launch(make_run):
    rows = [{"prompt": row["prompt"]} for row in questions()]
    run_dir = make_run("ppo", rows, [], **SHORT | {"rewards": "math 1"})
    report = preflight(run_dir)
    assert not report["ok"] and "math reads reference, which no row of train.jsonl has" in report["errors"]
    with pytest.raises(BadData, match="no reward applies to any of the .*: The row has no reference"):
        train_here(run_dir)


def test_a_column_that_rewards_are_given_anyway_is_refused(make_run):
    rows = [row | {"completions": ["a"]} for row in questions()]
    with pytest.raises(BadData, match="train.jsonl line 1: a column of prompts cannot be named completions"):
        train_here(make_run("ppo", rows, [], **SHORT))


def test_several_processes_are_refused_where_the_loop_is_our_own(make_odd, monkeypatch):
    from training.recipes.config import BadConfig

    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(BadConfig, match="ppo trains in one process"):
        train_here(make_odd(rewards="length -0.1"))


def test_two_processes_evaluate_and_keep_one_model(make_run):
    """Every held-out completion counts once, whichever process drew it, and both end at the same step."""
    settings = SHORT | QUICK | {"gradient_accumulation_steps": 1, "rewards": "length -0.05 unit=characters"}
    settings |= {"per_device_train_batch_size": 16, "max_steps": 30, "eval_steps": 2, "save_steps": 2}
    settings |= {"gold": "length unit=characters", "gold_patience": 1}
    run_dir = make_run("grpo", list(questions()), list(questions(7)), **settings)
    launch = ("-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1")
    launch += ("--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0")
    assert start(run_dir, *launch).wait(timeout=240) == 0, (run_dir / "log.txt").read_text()[-3000:]
    done, gold = result(run_dir), curve(run_dir, "eval_gold")
    assert "× 2" in done["device"] and done["step"] == 2 * len(gold) - 2 < 30
    assert done["gold"]["best"] == max(gold) and done["reason"]
    assert all(value * 7 == pytest.approx(round(value * 7)) for value in gold)  # a mean over seven
    assert (run_dir / "model" / "model.safetensors").exists()


def test_a_run_that_fails_leaves_a_result_that_says_why(make_run):
    rows = [{"prompt": row["prompt"]} for row in questions()]
    run_dir = make_run("ppo", rows, [], **SHORT | {"rewards": "math 1"})
    assert start(run_dir).wait(timeout=120) == 1
    error = result(run_dir)["error"]
    assert error["class"] == "bad_data" and "The row has no reference" in error["message"]
    assert json.loads((run_dir / "config.json").read_text())["recipe"] == "ppo"
