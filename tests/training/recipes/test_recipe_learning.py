"""Each recipe, trained for real on a tiny model, learns what its data says."""

import json
import math

import pytest

from tests.tiny import tiny_model
from tests.training.recipes.conftest import curve, metrics, planted_pairs, say, train_here

pytestmark = pytest.mark.training
QUICK = {"max_steps": 24, "learning_rate": 0.01, "per_device_train_batch_size": 8}


def score(folder, rows):
    """Score both sides as anyone would who downloads the model: no code of ours."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()

    def one(row, side):
        inputs = tokenizer.apply_chat_template(row["prompt"] + row[side], return_dict=True, return_tensors="pt")
        with torch.no_grad():
            return model(**inputs).logits[0, 0].item()

    return [(one(row, "chosen"), one(row, "rejected")) for row in rows]


def test_a_reward_model_beats_chance_on_held_out_pairs(make_run):
    run_dir = make_run("reward_model", sample_every=12, **QUICK)
    done = train_here(run_dir)
    assert done["status"] == "succeeded" and done["step"] == done["total"] == 24 and done["error"] is None
    assert curve(run_dir, "eval_loss")[0] == pytest.approx(math.log(2), abs=1e-6)
    assert done["metrics"]["eval_accuracy"] > 0.9
    pairs = list(planted_pairs(12, seed=1))
    scores = score(run_dir / "model", pairs)
    assert sum(chosen > rejected for chosen, rejected in scores) >= 11
    samples = [json.loads(line) for line in (run_dir / "samples.jsonl").read_text().splitlines()]
    assert {sample["step"] for sample in samples} == {12, 24}
    assert samples[-2]["reward"] == pytest.approx(scores[1][0], abs=0.1)


def test_the_saved_reward_model_scores_as_the_trained_one_did(make_run):
    run_dir = make_run("reward_model", precision="fp32", sample_every=24, **QUICK)
    train_here(run_dir)
    samples = [json.loads(line) for line in (run_dir / "samples.jsonl").read_text().splitlines()]
    saved = score(run_dir / "model", list(planted_pairs(2, seed=1)))
    assert [sample["reward"] for sample in samples[-4:]] == pytest.approx([s for pair in saved for s in pair], abs=1e-4)


def test_a_margin_column_asks_for_a_bigger_difference(make_run):
    pairs = [pair | {"margin": 2.0} for pair in planted_pairs(16)]
    run_dir = make_run("reward_model", train=pairs, held_out=[], max_steps=1, lora=False)
    train_here(run_dir)
    assert curve(run_dir, "loss")[0] == pytest.approx(math.log(1 + math.exp(2)), abs=1e-4)
    ignored = make_run("reward_model", train=pairs, held_out=[], max_steps=1, lora=False, use_margin=False)
    train_here(ignored)
    assert curve(ignored, "loss")[0] == pytest.approx(math.log(2), abs=1e-4)


@pytest.mark.parametrize(
    "settings", [{"lora": True}, {"lora": True, "lora_layers": 1, "precision": "auto"}, {"lora": False}]
)
def test_dpo_starts_at_ln_2_and_raises_margins(make_run, settings):
    run_dir = make_run("dpo", **QUICK | {"learning_rate": 0.01 if settings["lora"] else 0.001} | settings)
    done = train_here(run_dir)
    assert curve(run_dir, "loss")[0] == pytest.approx(math.log(2), abs=1e-5)
    assert curve(run_dir, "eval_loss")[0] == pytest.approx(math.log(2), abs=1e-5)
    assert done["metrics"]["eval_rewards/margins"] > 0.5
    assert done["metrics"]["eval_rewards/accuracies"] > 0.9
    named = {"rewards/chosen", "rewards/rejected", "logps/chosen", "logps/rejected", "tokens_per_second", "rss_bytes"}
    assert named <= metrics(run_dir)[1]["values"].keys()
    assert not list((run_dir / "model").rglob("*.bin")) and not list((run_dir / "model").rglob("*.pt"))


def test_dpo_gives_the_same_with_reference_log_probs_computed_before(make_run):
    settings = {"max_steps": 12, "learning_rate": 0.005, "lora": False, "precision": "fp32"}
    plain, before = (make_run("dpo", precompute_ref_log_probs=ahead, **settings) for ahead in (False, True))
    train_here(plain)
    train_here(before)
    assert curve(before, "loss") == pytest.approx(curve(plain, "loss"), abs=1e-4)


def test_ref_model_is_asked_about_a_pair_once(make_run, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("STUDIO_CACHE", str(tmp_path / "cache"))
    pairs = list(planted_pairs(48))
    losses = []
    for rows in (pairs, pairs, [*pairs[1:], *planted_pairs(2, seed=9)]):
        run_dir = make_run("dpo", train=rows, lora=True, num_train_epochs=1)
        done = train_here(run_dir)
        losses.append(curve(run_dir, "loss"))
    assert "ref_model asked about 2 of 49 pairs, the others known" in done["savings"]
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("train: ref_model")]
    assert [[int(word) for word in line.split() if word.isdigit()] for line in told] == [[48, 48], [0, 48], [2, 49]]
    assert losses[0] == losses[1]
    other = {"model": tiny_model(tmp_path / "other", hidden_size=32)}
    for changed in (other, {"too_long": "cut", "max_length": 60}, {"too_long": "cut", "max_length": 61}):
        train_here(make_run("dpo", train=pairs, lora=True, num_train_epochs=1, **changed))
        assert "asked about 48 of 48 pairs" in capsys.readouterr().out  # to them a pair says something else


def test_sft_lowers_the_loss_and_imitates_the_chosen_side(make_run):
    run_dir = make_run("sft", **QUICK | {"lora": False, "learning_rate": 0.005, "sample_every": 24, "max_steps": 40})
    done = train_here(run_dir)
    losses = curve(run_dir, "eval_loss")
    assert losses[-1] < 0.4 * losses[0]
    sample = json.loads((run_dir / "samples.jsonl").read_text().splitlines()[-1])
    assert sample["completion"].strip().endswith((".", "here")) and "�" not in sample["completion"]
    assert done["tokens"] > 0 and done["peak_memory"] > 1e8


def test_sft_takes_each_assistant_turn_of_a_chat_once(make_run):
    chat = say("user", "Hello") + say("assistant", "Hi!") + say("user", "Help me?") + say("assistant", "Gladly.")
    pair = {"prompt": say("user", "Hello"), "chosen": say("assistant", "Hi!"), "rejected": say("assistant", "No.")}
    run_dir = make_run("sft", train=[{"messages": chat}, pair, pair], held_out=[], max_steps=1)
    assert train_here(run_dir)["metrics"]["rows"] == 2


def test_a_chain_keeps_what_the_first_training_learned(make_run):
    """bf16 would round a small update away; the next training must start from what was saved."""
    import torch
    from transformers import AutoModelForCausalLM

    first = make_run("sft", max_steps=2, learning_rate=1e-4)
    train_here(first)
    base, saved = (
        AutoModelForCausalLM.from_pretrained(path)
        for path in (json.loads((first / "config.json").read_text())["base_model"], first / "model")
    )
    assert saved.dtype == torch.float32
    moved = (base.model.layers[0].mlp.up_proj.weight - saved.model.layers[0].mlp.up_proj.weight).abs()
    assert (moved > 0).float().mean() > 0.9
    second = make_run("dpo", model=first / "model", max_steps=2)
    assert train_here(second)["status"] == "succeeded"


def test_rows_over_max_length_are_left_out_and_counted(make_run):
    long = {"prompt": say("user", "Tell me all"), "chosen": say("assistant", "word " * 80)}
    rows = [*planted_pairs(12), *(long | {"rejected": say("assistant", "No.")} for _ in range(3))]
    dropped = train_here(make_run("dpo", train=rows, max_steps=1, max_length=100))["metrics"]
    assert (dropped["rows"], dropped["dropped"], dropped["cut"]) == (12, 3, 0)
    cut = train_here(make_run("dpo", train=rows, max_steps=1, max_length=100, too_long="cut"))["metrics"]
    assert (cut["rows"], cut["dropped"], cut["cut"]) == (15, 0, 3)
