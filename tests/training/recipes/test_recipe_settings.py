"""Settings: what a launch form is built from, and what is refused with which words. No torch."""

import json
import subprocess
import sys

import pytest

from tests.training.recipes.conftest import result, start
from training.recipes import RECIPES, config_fields, recipe
from training.recipes.config import BadConfig, from_text, read

DATA = {"pairs", "sft", "stepwise", "outcome", "prompts"}
MAKES = {"policy", "reward_model", "process_reward_model", "outcome_reward_model"}


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_tells_a_launch_form_what_it_needs(name):
    module = recipe(name)
    assert module.__doc__ and module.DATA in DATA and module.MAKES in MAKES
    assert {"smoke", "small", "full"} <= module.PRESETS.keys()
    for settings in module.PRESETS.values():
        assert module.problems(read(module.Config, settings)) == []
    for field in config_fields(name):
        assert field["help"] and field["type"] in {"int", "float", "bool", "str", "choice"}
        assert read(module.Config, {field["name"]: field["default"]}) == module.Config()


def test_reading_settings_imports_no_torch():
    code = (
        "import sys; from training.recipes import *; from training import recipes; import training.recipes.preflight\n"
    )
    code += "for name in recipes.RECIPES: recipes.config_fields(name)\n"
    code += "bad = {'torch', 'transformers', 'trl', 'datasets', 'django'} & sys.modules.keys(); assert not bad, bad"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("recipe_name", "settings", "words"),
    [
        ("dpo", {"beta": 0}, "beta must be above 0"),
        ("dpo", {"learning_rate": -1e-4}, "learning_rate must be above 0"),
        ("dpo", {"max_steps": 0}, "max_steps"),
        ("dpo", {"warmup_ratio": 2}, "warmup_ratio"),
        ("dpo", {"label_smoothing": 0.1}, "label_smoothing"),
        ("reward_model", {"center_rewards_coefficient": -1}, "center_rewards_coefficient"),
        ("sft", {"lora_r": 0}, "lora_r"),
    ],
)
def test_nonsense_values_are_refused_by_name(recipe_name, settings, words):
    module = recipe(recipe_name)
    found = module.problems(read(module.Config, settings))
    assert len(found) == 1 and words in found[0]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"betta": 0.1}, "betta is not a setting"),
        ({"beta": "high"}, "beta must be a number"),
        ({"max_steps": 1.5}, "max_steps must be a whole number"),
        ({"lora": "yes"}, "lora must be true or false"),
        ({"loss_type": "best"}, "loss_type must be one of sigmoid"),
        ({"beta": None}, "beta must be a number"),
        ({"learning_rate": float("nan")}, "learning_rate must be a number"),
    ],
)
def test_unknown_and_ill_typed_settings_are_refused_by_name(settings, words):
    with pytest.raises(BadConfig, match=words):
        read(recipe("dpo").Config, settings)


def test_text_from_a_form_becomes_the_settings_type():
    fields = {field["name"]: field for field in config_fields("reward_model")}
    assert from_text(fields["lora"], "false") is False
    assert from_text(fields["max_steps"], " 12 ") == 12
    assert from_text(fields["learning_rate"], "5e-6") == 5e-6
    assert from_text(fields["center_rewards_coefficient"], "") is None
    assert from_text(fields["precision"], "bf16") == "bf16"
    for name, text in (("max_steps", "many"), ("precision", "int4"), ("lora", "maybe"), ("learning_rate", "inf")):
        with pytest.raises(BadConfig, match=name):
            from_text(fields[name], text)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"settings": {"beta": -1}}, "beta must be above 0"),
        ({"settings": {"colour": "red"}}, "colour is not a setting"),
        ({"base_model": ""}, "base_model"),
        ({"device": "abacus"}, "device must be"),
    ],
)
def test_a_bad_config_ends_the_run_with_a_result_that_says_so(make_run, change, words):
    run_dir = make_run("dpo")
    config = json.loads((run_dir / "config.json").read_text())
    (run_dir / "config.json").write_text(json.dumps(config | change))
    assert start(run_dir).wait() == 1
    done = result(run_dir)
    assert done["status"] == "failed" and done["error"]["class"] == "bad_config" and done["error"]["advice"]
    assert words in done["error"]["message"]
    assert not (run_dir / "model").exists()
