"""A recipe's Config as fields and back: every type survives the trip, presets are exact, nonsense is refused."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Annotated, Literal

import pytest

from training import launch_form
from training.launch_form import SettingsForm, changed, preset
from training.recipes import RECIPES, recipe


def posted(form: SettingsForm) -> dict:
    """What a browser sends when nothing was touched."""
    values = {}
    for field in form:
        value = field.value()
        if field.field.row["type"] == "bool":
            values |= {field.html_name: "on"} if value else {}
        else:
            values[field.html_name] = str(value)
    return values


@dataclass
class Everything:
    count: Annotated[int, "a whole number"] = 3
    tiny: Annotated[float, "a very small number"] = 5e-7
    switch: Annotated[bool, "on or off"] = True
    kind: Annotated[Literal["a", "b"], "one of two"] = "b"
    word: Annotated[str, "any word"] = "x"
    maybe: Annotated[float | None, "a number or nothing"] = None
    maybe_kind: Annotated[Literal["p", "q"] | None, "one of two or neither"] = None


@pytest.fixture
def everything(monkeypatch):
    module = SimpleNamespace(
        __doc__="All kinds of settings.", Config=Everything, PRESETS={}, DATA="pairs",
        problems=lambda config: ["count must be below 10"] if config.count >= 10 else [],
    )  # fmt: skip
    monkeypatch.setitem(RECIPES, "everything", "x")
    monkeypatch.setattr(launch_form, "recipe", lambda name: module)
    monkeypatch.setattr("training.recipes.recipe", lambda name: module)
    return "everything"


@pytest.mark.parametrize("name", ["sft", "reward_model", "dpo"])
@pytest.mark.parametrize("which", ["smoke", "small", "full"])
def test_an_untouched_form_gives_back_the_preset_exactly(name, which):
    shown = SettingsForm(name, initial=preset(name, which))
    form = SettingsForm(name, posted(shown))
    assert form.is_valid(), form.errors
    assert form.cleaned_data == vars(recipe(name).Config(**preset(name, which)))
    assert {key: type(value) for key, value in form.cleaned_data.items()} == {
        key: type(value) for key, value in vars(recipe(name).Config(**preset(name, which))).items()
    }


def test_every_type_of_setting_survives_the_trip(everything):
    form = SettingsForm(everything, posted(SettingsForm(everything)))
    assert form.is_valid(), form.errors
    assert form.cleaned_data == vars(Everything())
    typed = {
        "set-count": " 4 ",
        "set-tiny": "1e-3",
        "set-kind": "a",
        "set-word": "y",
        "set-maybe": "0.5",
        "set-maybe_kind": "q",
    }
    form = SettingsForm(everything, typed)
    assert form.is_valid(), form.errors
    assert form.cleaned_data == vars(Everything(4, 1e-3, False, "a", "y", 0.5, "q"))


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("count", "1.5"),
        ("count", "many"),
        ("count", ""),
        ("tiny", "nan"),
        ("tiny", "inf"),
        ("tiny", "1,5"),
        ("kind", "c"),
    ],
)
def test_what_does_not_fit_is_said_at_its_field(everything, field, said):
    form = SettingsForm(everything, posted(SettingsForm(everything)) | {f"set-{field}": said})
    assert not form.is_valid() and list(form.errors) == [field]
    assert field in form.errors[field][0]


def test_the_recipes_own_objections_stand_at_the_field_they_name(everything):
    form = SettingsForm(everything, posted(SettingsForm(everything)) | {"set-count": "10"})
    assert form.errors == {"count": ["count must be below 10"]}


def test_each_field_carries_its_help_and_stands_in_exactly_one_group():
    for name in ("sft", "reward_model", "dpo"):
        form = SettingsForm(name)
        shown = [field.name for group in form.groups for field in group["fields"]]
        assert sorted(shown) == sorted(form.fields)
        assert all(field.help_text for field in form)


def test_a_group_that_holds_an_error_is_open():
    form = SettingsForm("dpo", posted(SettingsForm("dpo")) | {"set-lora_r": "0"})
    assert [group["title"] for group in form.groups if group["open"]] == ["Adapter"]


@pytest.mark.parametrize(
    "nonsense",
    [{"beta": "0"}, {"beta": "-1"}, {"learning_rate": "0"}, {"learning_rate": "3"}, {"max_steps": "0"},
     {"max_length": "-5"}, {"warmup_ratio": "2"}, {"label_smoothing": "0.9"}, {"lora_r": "0"}],
)  # fmt: skip
def test_nonsense_is_refused_before_anything_runs(nonsense):
    form = SettingsForm("dpo", posted(SettingsForm("dpo")) | {f"set-{name}": value for name, value in nonsense.items()})
    assert not form.is_valid() and set(form.errors) <= set(nonsense)


def test_settings_are_compared_with_their_defaults():
    rows = {row["name"]: row for row in changed("dpo", {"beta": 0.5, "seed": 42})}
    assert rows["beta"]["changed"] and rows["beta"]["value"] == 0.5
    assert not rows["seed"]["changed"] and not rows["lora_r"]["changed"]
