"""A reward that is hacked, a gold reward beside it: what evaluations tell, when a run ends, which weights are kept."""

import pytest

from tests.training.recipes.conftest import curve, metrics, result, train_here
from tests.training.recipes.test_grpo import trainer_of
from tests.training.recipes.test_own_samples import ending  # noqa: F401
from tests.training.recipes.test_ppo import QUICK, SHORT, Killed, assert_equal_weights, learner_of, questions
from training.recipes import recipe, weights
from training.recipes.config import read
from training.recipes.preflight import preflight
from training.recipes.rows import BadData
from training.recipes.run import Stop
from training.recipes.watching import Seen, told

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.training
# Longer is rewarded without end. Gold likes it only up to 9 characters, and from there on less and less.
HACKED = SHORT | QUICK | {"gradient_accumulation_steps": 1, "rewards": "length 0.05 unit=characters", "eval_steps": 2}
HACKED |= {"gold": "length 0.05 unit=characters; length -2 unit=characters target=9 limit=20", "gold_patience": 2}
HACKED |= {"lr_scheduler_type": "constant_with_warmup", "warmup_ratio": 0.0, "max_steps": 40}
# In the group trainers a random model never ends: all its completions are about 14 characters at first.
HACKED_GROUP = HACKED | {"gold": HACKED["gold"].replace("target=9 limit=20", "target=14 limit=26")}


@pytest.fixture
def make_hacked(make_run, ending):  # noqa: F811
    def make(name="ppo", **changed):
        settings = HACKED | {"kl_coef": 0.0} if name == "ppo" else HACKED_GROUP
        return make_run(name, list(questions()), list(questions(24)), **settings | changed)

    return make


@pytest.mark.parametrize(("name", "lora"), [("ppo", False), ("grpo", False), ("rloo", True)])
def test_the_run_ends_when_gold_falls_and_the_model_is_that_of_the_peak(make_hacked, name, lora):
    changed = {"lora": True, "learning_rate": 0.02, "lora_layers": 0} if lora else {}
    run_dir = make_hacked(name, **changed)
    done = train_here(run_dir)
    said, proxy, gold = done["gold"], curve(run_dir, "eval_reward"), curve(run_dir, "eval_gold")
    best = gold.index(max(gold))
    assert done["status"] == "succeeded" and done["step"] == 2 * len(gold) - 2 < done["total"] == 40
    assert 0 < best == len(gold) - 3 and gold[-1] < gold[best]
    assert lora or proxy[-1] > proxy[best]
    assert (said["best"], said["step"], said["last"], said["kept"]) == (gold[best], 2 * best, gold[-1], True)
    assert said["text"] == f"best by gold: step {2 * best}, gold {gold[best]:.3g}; the last step had {gold[-1]:.3g}"
    assert done["reason"] == f"gold was no better than {gold[best]:.3g} (step {2 * best}) at 2 evaluations in a row"
    assert done["metrics"]["eval_gold"] == gold[best] and done["metrics"]["eval_reward"] == proxy[best]
    assert "Best by gold: step" in (run_dir / "model" / "README.md").read_text()
    assert not (run_dir / "checkpoints").exists()
    shorter = make_hacked(name, **changed | {"max_steps": 2 * best, "gold": "", "gold_patience": 0})
    train_here(shorter)
    assert_equal_weights(run_dir / "model", shorter / "model")
    assert result(shorter).keys().isdisjoint({"gold", "reason"})


def test_evaluations_say_how_far_the_policy_went_and_what_explains_the_reward(make_hacked):
    run_dir = make_hacked(gold="", gold_patience=0, max_steps=10, eval_steps=0)
    train_here(run_dir)
    kl, lengths = curve(run_dir, "eval_kl"), curve(run_dir, "eval_length_correlation")
    assert kl[0] == pytest.approx(0, abs=1e-4) and kl[1] > 0.5
    assert len(lengths) == 2 and min(lengths) > 0.6
    assert not curve(run_dir, "eval_gold") and curve(run_dir, "eval_repetition")[0] == 0
    assert not curve(run_dir, "eval_repetition_correlation")  # no answer repeats four words


def test_what_has_no_spread_explains_nothing():
    def seen(**changed):
        return Seen(**{"reward": 1.0, "gold": None, "kl": 0.0, "tokens": 5, "repetition": 0.5} | changed)

    assert told([seen(), seen(tokens=9)]) == {"kl": 0.0, "repetition": 0.5}
    found = told([seen(reward=0.0, gold=1.0), seen(repetition=0.25), seen(reward=None, tokens=99)])
    assert found["repetition_correlation"] == pytest.approx(-1) and "length_correlation" not in found
    assert found["gold"] == 1 and "gold_stderr" not in found


def plain_log_probs(model, prompt, tokens, temperature):
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([prompt + tokens])).logits[0, len(prompt) - 1 : -1] / temperature
    return logits.log_softmax(-1).gather(1, torch.tensor(tokens)[:, None]).sum().item()


def shaken(model):
    """A policy that has left its reference."""
    torch.manual_seed(0)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.05 * torch.randn_like(parameter)


@pytest.mark.parametrize("lora", [True, False])
@pytest.mark.parametrize("name", ["ppo", "grpo"])
def test_the_kl_is_that_of_plain_forward_passes(make_hacked, base_model, name, lora):
    from training.recipes.scoring import Answer

    run_dir, base = make_hacked(name, lora=lora, temperature=0.7), weights.load_policy(str(base_model), "float32")
    row, learner = next(questions()), learner_of(run_dir if name == "ppo" else make_hacked("ppo"))
    if name == "ppo":
        shaken(policy := learner.actor.policy)
        prompts, drawn = learner.drawing.draw([row], 8, step=1)
        found, completions = learner.actor.divergence(prompts, drawn), [one.tokens for one in drawn]
    else:
        trainer = trainer_of(run_dir)
        shaken(policy := trainer.model.eval())
        completions = [[40, 41, 42, 43], [7]]
        found = trainer.divergence([Answer(row, "", tokens) for tokens in completions])
    prompt = learner.session.chat.tokens(row["prompt"], add_generation_prompt=True)
    wanted = [
        plain_log_probs(policy, prompt, tokens, 0.7) - plain_log_probs(base, prompt, tokens, 0.7)
        for tokens in completions
    ]
    assert max(map(abs, wanted)) > 0.1 and found == pytest.approx(wanted, abs=1e-3)


def test_without_the_rule_the_last_weights_are_kept_and_the_best_are_named(make_hacked):
    settings = {"gold_patience": 0, "max_steps": 6, "keep_best_gold": False}
    run_dir, other = make_hacked(**settings), make_hacked(**settings | {"gold": ""})
    done = train_here(run_dir)
    train_here(other)
    assert done["step"] == 6 and done["reason"] == "" and done["gold"]["kept"] is False
    assert done["gold"]["text"].endswith("and is what was kept (keep_best_gold is off)")
    assert done["metrics"]["eval_gold"] == curve(run_dir, "eval_gold")[-1] == done["gold"]["last"]
    assert_equal_weights(run_dir / "model", other / "model")


@pytest.mark.parametrize("name", ["ppo", "grpo"])
def test_a_run_that_dies_as_gold_ends_it_ends_the_same_way_again(make_hacked, monkeypatch, name):
    whole, killed = make_hacked(name, save_steps=2), make_hacked(name, save_steps=2)
    first = train_here(whole)
    with monkeypatch.context() as patch:
        patch.setattr(weights, "save", dies)
        with pytest.raises(Killed):
            train_here(killed)
    steps = sorted(path.name for path in (killed / "checkpoints").iterdir() if path.name != ".partial")
    assert f"best-{first['gold']['step']}" in steps and f"checkpoint-{first['step']}" not in steps
    again = train_here(killed)
    assert (again["step"], again["gold"], again["reason"]) == (first["step"], first["gold"], first["reason"])
    assert_equal_weights(whole / "model", killed / "model")


def dies(*_):
    raise Killed


def test_a_run_that_is_stopped_keeps_the_best_and_goes_on_from_the_last(make_hacked, monkeypatch):
    settings = {"gold_patience": 0, "max_steps": 8}
    whole, stopped = make_hacked(**settings), make_hacked(**settings)
    train_here(whole)
    peak = whole_peak(whole)
    monkeypatch.setattr(Stop, "asked", False)
    with monkeypatch.context() as patch:
        from training.recipes.ppo import Learner

        plain = Learner.learn

        def asks(learner, rollout, step, total):
            Stop.asked = step == peak + 1
            return plain(learner, rollout, step, total)

        patch.setattr(Learner, "learn", asks)
        done = train_here(stopped)
    assert done["status"] == "stopped" and done["step"] == peak + 1 and done["gold"]["step"] == peak
    assert_equal_weights(whole / "model", stopped / "model")  # both are that of the peak
    Stop.asked = False
    assert train_here(stopped)["gold"] == result(whole)["gold"]
    assert_equal_weights(whole / "model", stopped / "model")


def whole_peak(run_dir):
    lines = [line for line in metrics(run_dir) if "eval_gold" in line["values"]]
    return max(lines, key=lambda line: line["values"]["eval_gold"])["step"]


def test_gold_is_never_learned_from(make_hacked):
    """The same weights, whatever gold is, where it neither ends the run nor chooses among them."""
    runs = [
        make_hacked("grpo", gold=gold, gold_patience=0, max_steps=3, keep_best_gold=False) for gold in ("", "exact")
    ]
    for run_dir in runs:
        train_here(run_dir)
    assert_equal_weights(runs[0] / "model", runs[1] / "model")
    assert curve(runs[1], "eval_gold") == [0.0] * 4


def test_settings_that_cannot_work_are_refused_by_name():
    def wrong(**settings):
        return recipe("grpo").problems(read(recipe("grpo").Config, settings))

    assert wrong(gold="math 1", eval_steps=5, gold_patience=2) == [] == wrong(gold="  ")
    assert wrong(gold="mth 1") == ["gold: There is no reward 'mth'. Is it math?"]
    assert "set its aggregate to min" in wrong(gold="prm:steps-v1 1 aggregate=dense")[0]
    assert "name a reward in gold" in wrong(gold_patience=2, eval_steps=5)[0]
    assert wrong(gold="math", gold_patience=2)[0].startswith(
        "gold_patience 2 counts evaluations on the way: set eval_st"
    )
    assert "0 never ends a run" in wrong(gold_patience=-1)[0]


def test_preflight_names_what_gold_asks_for_and_the_run_does_not_hold(make_run):
    def errors(held_out, gold):
        return preflight(make_run("ppo", list(questions()), held_out, **SHORT | {"gold": gold}))["errors"]

    bare = [{"prompt": row["prompt"]} for row in questions(4)]
    assert errors(list(questions(4)), "math 1") == []
    assert errors(bare, "math 1") == ["gold: math reads reference, which no row of eval.jsonl has"]
    assert errors(bare, "orm:judge-v1 1") == ["gold: orm:judge-v1: the run holds no model judge-v1"]
    assert errors([], "math 1")[0].startswith("gold is asked about answers to held-out prompts, and there are none")


@pytest.mark.parametrize("name", ["ppo", "grpo"])
def test_gold_that_says_nothing_ends_the_run_and_is_named(make_run, name):
    settings = SHORT | QUICK | {"gold": "math 1", "max_steps": 1, "gradient_accumulation_steps": 1}
    bare = [{"prompt": row["prompt"]} for row in questions(4)]
    with pytest.raises(BadData, match="gold applies to none of the 4 held-out completions: The row has no reference"):
        train_here(make_run(name, list(questions()), bare, **settings))
    with pytest.raises(BadData, match="hold some out, or leave gold empty"):
        train_here(make_run(name, list(questions()), [], **settings))
