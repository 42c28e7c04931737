"""PPO trained for real on tiny models: it learns, resumes to the last bit, and leaves alone what is not its own."""

import json
import os
import signal
import time

import pytest

from tests.training.recipes.conftest import curve, metrics, result, rollouts, start, train_here, write_rows
from training.recipes import ppo, recipe, rl
from training.recipes.config import read
from training.recipes.preflight import preflight
from training.recipes.run import Run

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.training
SHORT = {"max_completion_length": 6, "max_length": 64, "per_device_train_batch_size": 8, "learning_rate": 0.005}
SHORT |= {"gradient_accumulation_steps": 2, "num_generations": 4, "lora_layers": 1}
SHORT["rewards"] = "length -0.05 unit=characters"
QUICK = {"lora": False, "learning_rate": 0.004, "per_device_train_batch_size": 32, "num_generations": 8}


def questions(count=8, **columns):
    texts = ("Say yes.", "Name a colour that you like.", "Is tea hot?", "Count to three, please, and then stop.")
    for at in range(count):
        yield {"prompt": [{"role": "user", "content": f"{texts[at % 4]} {at}"}], "reference": str(at)} | columns


@pytest.fixture
def make_ppo(make_run):
    def make(**settings):
        settings = SHORT | {"max_steps": 4, "save_steps": 0} | settings
        return make_run("ppo", list(questions()), list(questions(4)), **settings)

    return make


def learner_of(run_dir):
    from training.recipes.loop import Session

    said = json.loads((run_dir / "config.json").read_text())
    return ppo.Learner(Session(Run(run_dir, read(ppo.Config, said["settings"])), "prompts"))


def test_a_policy_learns_what_is_rewarded_and_says_how(make_ppo):
    run_dir = make_ppo(max_steps=25, kl_coef=0.01, sample_every=10, num_ppo_epochs=2, **QUICK)
    done = train_here(run_dir)
    assert done["status"] == "succeeded" and done["step"] == done["total"] == 25
    before, after = curve(run_dir, "eval_reward")
    assert after > before + 0.2
    steps = [line["values"] for line in metrics(run_dir) if "loss" in line["values"]]
    wanted = {
        *("objective/kl", "objective/entropy", "objective/scores", "objective/rlhf_reward", "policy/approxkl_avg"),
        *("policy/clipfrac_avg", "policy/entropy_avg", "loss/policy_avg", "loss/value_avg", "val/clipfrac_avg"),
        *("val/ratio", "val/num_eos_tokens", "val/explained_variance", "completions/mean_length", "reward"),
        "completions/self_corrections",
        *(
            "rewards/length/mean",
            "entropy",
            "kl_coef",
            "learning_rate",
            "grad_norm",
            "num_tokens",
            "objective/non_score_reward",
        ),
    }
    assert wanted <= steps[0].keys()
    assert steps[0]["objective/kl"] == pytest.approx(0, abs=1e-5) and steps[-1]["objective/kl"] > 0.01
    samples = [json.loads(line) for line in (run_dir / "samples.jsonl").read_text().splitlines()]
    assert {sample["step"] for sample in samples} == {10, 20, 25}
    assert {"length", "advantage", "kl"} <= samples[0]["parts"].keys() and samples[0]["prompt"][0]["role"] == "user"
    groups = rollouts(run_dir)
    assert len(groups) == 25 * 8 and {len(group["completions"]) for group in groups} == {8}
    told = [one for group in groups if group["step"] == 20 for one in group["completions"]]
    assert sum(one["kl"] for one in told) / 64 == pytest.approx(steps[19]["objective/kl"], rel=1e-3)
    assert sum(one["reward"] for one in told) / 64 == pytest.approx(steps[19]["reward"], rel=1e-3)
    assert {one["ended"] for one in told} <= {True, False} and all(group["reference"] for group in groups)
    assert (run_dir / "model" / "value_head" / "model.safetensors").exists()
    assert "proximal policy optimization" in (run_dir / "model" / "README.md").read_text()


def test_the_first_minibatch_meets_the_policy_that_drew_it(make_ppo):
    learner = learner_of(make_ppo())
    rollout = learner.roll_out(learner.session.train_rows.rows[:4], 1)
    said = learner.actor.say(rollout.prompts, rollout.completions)
    ratio = (said.log_probs - rollout.said.log_probs).exp()
    assert (ratio - 1).abs().max() < 1e-5
    assert rollout.log_ratio.abs().max() < 1e-5  # nor has it left the reference


def test_log_probabilities_as_drawn_are_those_of_a_plain_forward_pass(make_ppo):
    learner = learner_of(make_ppo(temperature=0.7, max_completion_length=12))
    prompts, drawn = learner.drawing.draw(learner.session.train_rows.rows, 4, step=1)
    said = learner.actor.look(prompts, [one.tokens for one in drawn])
    for row, one in enumerate(drawn):
        ids = torch.tensor([prompts[row] + one.tokens])
        with torch.no_grad():
            logits = learner.actor.policy(input_ids=ids).logits[0, len(prompts[row]) - 1 : -1] / 0.7
        plain = logits.log_softmax(-1).gather(1, torch.tensor(one.tokens)[:, None])[:, 0]
        assert torch.allclose(plain, torch.tensor(one.log_probs), atol=1e-4)
        assert torch.allclose(plain, said.log_probs[row, : len(one.tokens)], atol=1e-4)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_was_said_in_drawing_stands_for_a_second_look_where_rounding_is_fine(make_ppo, monkeypatch, precision):
    learner = learner_of(make_ppo(precision=precision, temperature=0.7, max_completion_length=12))
    torch.nn.init.normal_(learner.actor.value_head[2].weight)
    prompts, drawn = learner.drawing.draw(learner.session.train_rows.rows, 4, step=1)
    wanted, looks = learner.actor.look(prompts, [one.tokens for one in drawn]), []
    monkeypatch.setattr(learner.actor, "look", lambda *rows: looks.append(rows) or wanted)
    found = learner.actor.recall(prompts, drawn)
    assert len(looks) == (precision == "bf16")
    assert found.values.abs().max() > 0.1 and len({len(one.tokens) for one in drawn}) > 1
    assert (found.values - wanted.values).abs().max() < 1e-5
    assert (found.log_probs - wanted.log_probs).abs().max() < 1e-5


def test_only_a_completions_tokens_are_learned_its_end_included(make_ppo):
    learner = learner_of(make_ppo())
    end = min(learner.actor.ends)
    prompts, completions = [[5, 6, 7], [5]], [[8, 9, end], [8, 9, 10, 11]]
    rollout = filled(learner, prompts, completions)
    assert rollout.mask.tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    for at, place in ((0, 2), (1, 3)):  # the last token's loss reaches the weights, the padding's cannot
        rollout.advantages = torch.zeros(2, 4)
        rollout.advantages[at, place] = 1.0
        assert gradient(learner, rollout, "policy") > 0
    rollout.advantages = 1 - rollout.mask
    assert gradient(learner, rollout, "policy") == 0
    with torch.no_grad():
        longer = learner.actor.say([[5, 6, 7]], [[8, 9, end]])
    assert torch.allclose(longer.log_probs[0], rollout.said.log_probs[0, :3], atol=1e-5)


def filled(learner, prompts, completions, returns=0.0):
    from training.recipes.actor_critic import completion_mask

    said, mask = learner.actor.look(prompts, completions), completion_mask(completions, "cpu")
    valued = mask
    if critic := learner.actor.critic:
        said.values, valued = critic.look(prompts, completions), completion_mask(completions, "cpu", beyond=1)
    blank = torch.zeros_like(mask)
    kwargs = {"answers": [], "ended": [], "scores": [], "log_ratio": blank, "kl": blank}
    return ppo.Rollout(
        prompts=prompts,
        completions=completions,
        mask=mask,
        valued=valued,
        said=said,
        advantages=blank,
        returns=torch.zeros_like(valued) + returns,
        **kwargs,
    )


def gradient(learner, rollout, side):
    learner.optimizer.zero_grad()
    for loss, _ in learner.losses(rollout, [0, 1]):
        loss.backward()
    critic = learner.actor.critic
    module = {"policy": learner.actor.policy, "value": critic.network if critic else learner.actor.value_head}[side]
    return sum(p.grad.abs().sum().item() for p in module.parameters() if p.grad is not None)


def test_gradients_of_values_stay_where_they_belong(make_ppo):
    rows = [[5, 6, 7], [5]], [[8, 9, 10], [8, 9, 10, 11]]
    detached, shared = (learner_of(make_ppo(detach_value_head=detach)) for detach in (True, False))
    for learner in (detached, shared):
        torch.nn.init.normal_(learner.actor.value_head[2].weight)
    for learner, reaches_policy in ((detached, False), (shared, True)):
        wrong = filled(learner, *rows, returns=3.0)
        assert gradient(learner, wrong, "value") > 0
        assert (gradient(learner, wrong, "policy") > 0) is reaches_policy
        right = filled(learner, *rows)
        right.returns, right.advantages = right.said.values.clone(), torch.ones_like(right.mask)
        assert gradient(learner, right, "value") == pytest.approx(0, abs=1e-3)  # the policy's loss never gets there
        assert gradient(learner, right, "policy") > 0


def test_policy_and_value_model_of_its_own_learn_apart(make_ppo):
    learner = learner_of(make_ppo(value_model="own"))
    torch.nn.init.normal_(learner.actor.critic.core.score.weight)
    rollout = filled(learner, [[5, 6, 7], [5]], [[8, 9, 10], [8, 9, 10, 11]], returns=3.0)
    wrong = gradient(learner, rollout, "value")
    assert wrong > 0 and gradient(learner, rollout, "policy") == 0
    rollout.returns, rollout.advantages = rollout.said.values.clone(), torch.ones_like(rollout.mask)
    assert gradient(learner, rollout, "value") < 1e-5 * wrong
    assert gradient(learner, rollout, "policy") > 0


@pytest.mark.parametrize("lora", [True, False])
def test_values_of_a_model_of_its_own_are_those_of_what_was_said_so_far(make_ppo, lora):
    critic = learner_of(make_ppo(value_model="own", lora=lora)).actor.critic
    torch.nn.init.normal_(critic.core.score.weight)
    prompts, completions = [[5, 6, 7], [5], [9, 4]], [[8, 9, 10], [8, 9, 10, 11], [3]]
    values = critic.look(prompts, completions)
    assert values.shape == (3, 5)
    for row, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
        for said in range(len(completion) + 1):
            ids = torch.tensor([prompt + completion[:said]])
            with torch.no_grad():
                plain = critic.network(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, 0]
            assert values[row, said].item() == pytest.approx(plain.item(), abs=1e-4)
        assert (values[row, len(completion) + 1 :] == 0).all()


def test_a_value_model_of_its_own_learns_and_is_in_the_checkpoint(make_ppo, tmp_path):
    learner, again = (learner_of(make_ppo(value_model="own")) for _ in range(2))
    for step in (1, 2):  # the first warms up
        learner.learn(learner.roll_out(learner.session.train_rows.rows[:4], step), step, 4)
    values = [one.actor.critic.look([[5, 6]], [[8, 9]]) for one in (learner, again)]
    assert not torch.allclose(*values, atol=1e-4)
    learner.save(tmp_path, tokens=0)
    again.load(tmp_path)
    assert torch.equal(values[0], again.actor.critic.look([[5, 6]], [[8, 9]]))


def test_with_a_value_model_of_its_own_the_score_comes_when_all_was_said(make_ppo):
    learner = learner_of(make_ppo(value_model="own", kl_coef=0.5, lam=1.0, whiten_advantages=False))
    rollout = learner.roll_out(learner.session.train_rows.rows[:4], 1)
    rollout.kl = torch.full_like(rollout.mask, 0.25) * rollout.mask
    for score in rollout.scores:
        score.total = 2.5
    learner.judge(rollout)
    for at, completion in enumerate(rollout.completions):
        size = len(completion)
        left = [2.5 - 0.125 * (size - t) for t in range(size + 1)]  # of the score, after the KL still to come
        assert rollout.returns[at, : size + 1].tolist() == pytest.approx(left, abs=1e-5)
        gained = rollout.returns[at, :size] - rollout.said.values[at, :size]
        assert torch.allclose(rollout.advantages[at, :size], gained, atol=1e-5)
    assert (rollout.advantages * (1 - rollout.mask) == 0).all()


def test_the_estimate_knows_what_a_value_model_of_its_own_costs(make_ppo):
    runs = (make_ppo(value_model=kind, lora=False, max_steps=4000) for kind in ("head", "own"))
    head, own = (preflight(run_dir)["estimate"] for run_dir in runs)
    assert own["seconds"] > 1.2 * head["seconds"] and own["memory_bytes"] > head["memory_bytes"]


def test_the_reference_never_moves(make_ppo):
    for lora in (True, False):
        learner = learner_of(make_ppo(lora=lora))
        prompts, completions = [[5, 6, 7]], [[8, 9, 10]]
        before = learner.actor.reference(prompts, completions)
        learner.learn(learner.roll_out(learner.session.train_rows.rows[:4], 1), 1, 4)
        assert torch.equal(before, learner.actor.reference(prompts, completions))
        assert not torch.allclose(before, learner.actor.look(prompts, completions).log_probs, atol=1e-4)


def test_the_kl_is_taken_off_every_token_and_the_score_added_at_the_last(make_ppo):
    learner = learner_of(make_ppo(kl_coef=0.5, missing_eos_penalty=1.0, clip_scores=2.0))
    rollout = learner.roll_out(learner.session.train_rows.rows[:4], 1)
    rollout.kl = torch.full_like(rollout.mask, 0.25) * rollout.mask
    rollout.ended = [at % 2 == 0 for at in range(16)]
    for score in rollout.scores:
        score.total = 2.5
    rewards = learner.token_rewards(rollout)
    for at, completion in enumerate(rollout.completions):
        last = 2.0 if at % 2 == 0 else 1.5
        wanted = [-0.125] * (len(completion) - 1) + [last - 0.125]
        assert rewards[at, : len(completion)].tolist() == pytest.approx(wanted)


SETTINGS = {"max_steps": 6, "save_steps": 2, "kl_target": 0.5, "normalize_scores": True, "num_mini_batches": 2}
SETTINGS |= {"gold": "length 0.05; length -1 unit=characters target=9 limit=20", "gold_patience": 9, "eval_steps": 1}


class Killed(BaseException):
    """In place of a signal that leaves no time for anything."""


@pytest.mark.parametrize(
    ("moment", "value_model"), [("roll_out", "head"), ("learn", "head"), ("learn", "own"), ("save", "head")]
)
def test_a_run_that_dies_ends_as_one_that_did_not_to_the_last_bit(make_ppo, monkeypatch, moment, value_model):
    whole, killed = (make_ppo(**SETTINGS, value_model=value_model) for _ in range(2))
    train_here(whole)
    with monkeypatch.context() as patch:
        plain, calls = getattr(ppo.Learner, moment), []

        def dies(learner, *args):
            calls.append(args)
            last = len(calls) == {"roll_out": 5, "learn": 4, "save": 2}[moment]
            if last and moment == "save":
                plain(learner, *args)  # written, and not yet a checkpoint
            if last:
                raise Killed
            return plain(learner, *args)

        patch.setattr(ppo.Learner, moment, dies)
        with pytest.raises(Killed):
            train_here(killed)
    assert not (killed / "result.json").exists() and (killed / "checkpoints" / "checkpoint-2").exists()
    with (killed / "metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "tot')  # in the middle of a line
    train_here(killed)
    assert_equal_runs(whole, killed)


@pytest.mark.long
def test_a_run_that_is_really_killed_does_too(make_ppo):
    whole, killed = make_ppo(**SETTINGS), make_ppo(**SETTINGS)
    train_here(whole)
    child = start(killed)
    until = time.time() + 90
    while time.time() < until and not (killed / "checkpoints" / "checkpoint-4").exists():
        time.sleep(0.02)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    train_here(killed)
    assert_equal_runs(whole, killed)


def assert_equal_runs(one, other):
    ours, theirs = steps_of(one), steps_of(other)
    for step, values in ours.items():
        assert {name: theirs[step][name] for name in values} == values, step
    assert_equal_weights(one / "model", other / "model")
    if (one / "model" / "value_head").exists():
        assert_equal_weights(one / "model" / "value_head", other / "model" / "value_head")
    assert {key: result(one)[key] for key in ("tokens", "gold")} == {
        key: result(other)[key] for key in ("tokens", "gold")
    }


def assert_equal_weights(one, other):
    from safetensors.torch import load_file

    ours, theirs = (load_file(folder / "model.safetensors") for folder in (one, other))
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


CLOCK = ("seconds", "tokens_per_second", "rss_bytes", "cpu_percent", "time/")


def steps_of(run_dir):
    """The last line written of each step, without what a clock says."""
    lines = {line["step"]: line["values"] for line in whole_lines(run_dir) if "loss" in line["values"]}
    return {
        step: {name: value for name, value in values.items() if not name.startswith(CLOCK)}
        for step, values in lines.items()
    }


def whole_lines(run_dir):
    for line in (run_dir / "metrics.jsonl").read_text().splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            continue


def test_stop_and_save_keeps_a_model_and_goes_on(make_ppo):
    run_dir = make_ppo(max_steps=2000)
    child = start(run_dir)
    until = time.time() + 90
    while time.time() < until and len(metrics_so_far(run_dir)) < 4:
        time.sleep(0.05)
    child.send_signal(signal.SIGTERM)
    assert child.wait(timeout=60) == 0, (run_dir / "log.txt").read_text()[-2000:]
    stopped = result(run_dir)
    assert stopped["status"] == "stopped" and 2 <= stopped["step"] < 2000
    assert (run_dir / "model" / "model.safetensors").exists()
    config = json.loads((run_dir / "config.json").read_text())
    config["settings"]["max_steps"] = stopped["step"] + 1
    (run_dir / "config.json").write_text(json.dumps(config))
    assert train_here(run_dir)["step"] == stopped["step"] + 1
    assert not (run_dir / "checkpoints").exists()


def metrics_so_far(run_dir):
    path = run_dir / "metrics.jsonl"
    return path.read_text().split("\n")[:-1] if path.exists() else []


def test_a_model_that_was_trained_brings_its_value_head_along(make_ppo, make_run):
    first = make_ppo(max_steps=3)
    train_here(first)
    again = make_run("ppo", list(questions()), [], model=first / "model", **SHORT, max_steps=1)
    learner = learner_of(again)
    assert learner.actor.value_head[2].weight.abs().sum() > 0
    write_rows(again / "dataset" / "eval.jsonl", [])
    assert train_here(again)["status"] == "succeeded"


def test_settings_are_checked_and_say_what_to_write():
    def wrong(**settings):
        return "; ".join(recipe("ppo").problems(read(ppo.Config, settings)))

    assert wrong() == ""
    assert "must divide the 32 completions" in wrong(num_generations=5)
    assert "leaves no room for a prompt" in wrong(max_completion_length=1024)
    assert wrong(rewards="nonsense 1").startswith("rewards: ")
    assert "leave it empty" in wrong(kl_target=0.0)
    assert rl.KLController(0.1).target is None
