"""The loop of learning from rewards, in a browser: prompts, rewards tried, a run live, stopped, resumed, compared."""

import json
import re
from urllib.parse import urljoin

import pytest
from playwright.sync_api import Page, expect

from tests.paths.person import SLOW, check_and_launch, import_file, log_in, make_project, told_when_it_fails
from tests.paths.test_rankings_path import compare_and_vote
from tests.tiny import tiny_model

pytestmark = [pytest.mark.browser, pytest.mark.training, pytest.mark.timeout(600)]
SUMS = {f"{a} + {b} =": str(a + b) for a in range(2, 6) for b in (2, 3)}
STEPS = 20
REWARDS = {"math": "1", "format": "0.5"}


@pytest.fixture
def rows(tmp_path):
    """Questions with their answers, as GSM8K names them."""
    path = tmp_path / "sums.jsonl"
    path.write_text("".join(json.dumps({"question": ask, "answer": right}) + "\n" for ask, right in SUMS.items()))
    return path


@pytest.fixture
def models(studio, tmp_path):
    """A policy that is now right and now wrong, now in tags and now not; and a reward model of random taste."""
    folders = {"Pupil": taught(tiny_model(tmp_path / "pupil")), "Taste": taste(tmp_path / "taste", tmp_path / "pupil")}
    for name, folder in folders.items():
        studio.run("models", "--folder", str(folder), "--name", name, "--user", "alice")


def taught(folder):
    """Let the model in this folder learn three answers to each sum by heart, each as likely as the others."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    torch.manual_seed(0)
    asked, said = [], []
    for ask, right in SUMS.items():
        chat = [{"role": "user", "content": ask}]
        for text in (f"<think>hm</think><answer>{right}</answer>", "<think>hm</think><answer>0</answer>", f"{right}."):
            asked.append(tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False))
            said.append(text + tokenizer.eos_token)
    batch = tokenizer([a + s for a, s in zip(asked, said, strict=True)], padding=True, return_tensors="pt")
    labels = batch.input_ids.masked_fill(batch.attention_mask == 0, -100)
    for row, ask in enumerate(asked):
        labels[row, : len(tokenizer(ask).input_ids)] = -100
    learner = torch.optim.AdamW(model.parameters(), lr=6e-3)
    for _ in range(60):
        model(**batch, labels=labels).loss.backward()
        learner.step()
        learner.zero_grad()
    model.save_pretrained(folder)
    return folder


def taste(folder, base):
    import torch

    from training.recipes import weights

    tokenizer = weights.load_tokenizer(str(base))
    model = weights.load_scorer(str(base), "float32", tokenizer.pad_token_id)
    torch.manual_seed(1)
    torch.nn.init.normal_(model.score.weight)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_rewards_teach_a_policy_that_is_watched_stopped_resumed_and_compared(studio, models, page, rows, tmp_path):
    with told_when_it_fails(page, studio, tmp_path):
        log_in(page, studio)
        project = make_project(page, "Sums")
        import_file(page, rows, ("2 + 2 =",), len(SUMS))
        dataset = freeze(page, project)
        choose(page, dataset, "grpo")
        build_rewards(page)
        try_them(page)
        run = launch(page, steps=STEPS, num_generations=8, per_device_train_batch_size=64)
        watch_it_learn(page)
        stop_and_save(page)
        resume_to_the_end(page)
        look_into_a_group(page)
        compare_and_vote(page, "Sums")
        choose(page, dataset, "ppo")
        reward_by_a_model(page)
        other = launch(page, steps=3, num_generations=4, per_device_train_batch_size=32)
        assert other != run
        watch_the_critic(page)
        compare_and_vote(page, "Sums")
    assert page.complaints == []


def freeze(page: Page, project: str) -> str:
    """The dataset's address: prompts with the answers they should get, no labels."""
    page.goto(urljoin(project, "freeze/"))
    page.get_by_role("link", name="Prompts, for reinforcement learning").click()
    page.get_by_label("Name").fill("Sums to answer")
    page.get_by_role("button", name="Freeze").click()
    expect(page.locator(".page-head h1")).to_have_text("Sums to answer")
    expect(page.locator(".state .badge")).to_have_text("ready", timeout=SLOW)
    return page.url


def choose(page: Page, dataset: str, recipe: str) -> None:
    """The form of a short run of this recipe."""
    page.goto(dataset)
    page.get_by_role("link", name="Train on it").click()
    page.wait_for_load_state()
    expect(page.get_by_label("Recipe")).to_have_value("grpo")
    if recipe != "grpo":
        page.get_by_label("Recipe").select_option(recipe)
    expect(page.locator("input[name=shown]")).to_have_value(re.compile(f"^{recipe} "))
    page.get_by_label("Smoke: does it run at all?").check()
    expect(page.get_by_label("max_steps")).to_have_value("2")
    page.get_by_label("Base model").select_option(label="Pupil v1")


def build_rewards(page: Page) -> None:
    """Mathematics is there already; what it is written in counts half as much."""
    page.get_by_label("Add a reward").select_option("format")
    drawn(page, parts=2)
    page.locator("#format-p1-weight").fill(REWARDS["format"])
    page.keyboard.press("Tab")
    expect(page.locator("#id_set-rewards")).to_have_value("math 1; format 0.5")


def drawn(page: Page, parts: int) -> None:
    """As fields that say so many parts, which listen: htmx sees to new ones a moment after they appear."""
    expect(page.locator("#rewards .part")).to_have_count(parts)
    expect(page.locator("#rewards.htmx-added, #rewards .htmx-added")).to_have_count(0)


def try_them(page: Page) -> None:
    page.get_by_text("Try them").click()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value(re.compile(r"\d \+ \d ="))
    right = page.get_by_label("Reference", exact=True).input_value()
    page.get_by_label("Completion", exact=True).fill(f"<think>hm</think><answer>{right}</answer>")
    page.get_by_role("button", name="Score this completion").click()
    expect(page.locator("#trial .big")).to_contain_text("1.5", timeout=SLOW)
    page.get_by_label("Completion", exact=True).fill("It is none of these.")
    page.get_by_role("button", name="Score this completion").click()
    expect(page.locator("#trial .big")).to_have_text(re.compile(r"^\s*0\b"), timeout=SLOW)


def launch(page: Page, steps: int, **settings: float) -> str:
    """The run's address."""
    page.get_by_label("max_steps").fill(str(steps))
    for name, value in (settings | {"max_completion_length": 40, "learning_rate": 0.003}).items():
        fill(page, name, str(value))
    return check_and_launch(page)


def fill(page: Page, name: str, value: str) -> None:
    """A setting, wherever it is folded away."""
    field = page.get_by_label(name, exact=True)
    if not field.is_visible():
        page.locator("details.card", has=field).locator("summary").click()
    field.fill(value)


def watch_it_learn(page: Page) -> None:
    """Both parts of the reward are drawn, and what was said is listed, while it trains."""
    page.get_by_role("link", name="Rollouts", exact=True).click()
    page.evaluate("window.neverReloaded = true")
    for part in REWARDS:
        expect(chart(page, part).locator("canvas")).to_be_visible(timeout=SLOW)
    expect(page.locator("#rollouts summary").first).to_contain_text(re.compile(r"\d \+ \d ="), timeout=SLOW)
    expect(page.locator("#state .badge").first).to_have_text("Running")
    assert page.evaluate("window.neverReloaded")


def chart(page: Page, title: str):
    return page.locator(
        ".charts figure", has=page.locator("figcaption span:first-child", has_text=re.compile(f"^{title}$"))
    )


def stop_and_save(page: Page) -> None:
    page.get_by_role("button", name="Stop and save").click()
    expect(page.locator("#state .badge").first).to_have_text("Stopped", timeout=SLOW)
    expect(page.locator("#state")).to_contain_text(f"of {STEPS}")


def resume_to_the_end(page: Page) -> None:
    page.get_by_role("button", name="Resume").click()
    page.get_by_role("link", name="Rollouts", exact=True).click()
    before = page.locator("#rollouts summary .badge").first.inner_text()
    page.get_by_role("link", name=re.compile(r"Show \d+ new group")).click(timeout=SLOW)
    expect(page.locator("#rollouts summary .badge").first).not_to_have_text(before)
    expect(page.locator("#state .badge").first).to_have_text("Succeeded", timeout=SLOW)
    expect(page.locator("#state")).to_contain_text(f"step {STEPS} of {STEPS}")


def look_into_a_group(page: Page) -> None:
    """Of the last step, with every part of each reward."""
    page.reload()
    newest = page.locator("#rollouts li").first
    expect(newest).to_contain_text(f"step {STEPS}")
    newest.locator("summary").first.click()
    expect(newest.locator(".answer")).to_have_count(8)
    for part in ("reward", *REWARDS, "advantage"):
        expect(newest.locator(".answer").first).to_contain_text(part)


def reward_by_a_model(page: Page) -> None:
    page.get_by_label("Remove math").click()
    drawn(page, parts=0)
    page.get_by_label("Add a reward").select_option("reward_model")
    drawn(page, parts=1)
    page.locator("#reward_model-p0-argument").select_option("taste-v1")
    expect(page.locator("#id_set-rewards")).to_have_value("reward_model:taste-v1 1")


def watch_the_critic(page: Page) -> None:
    expect(page.locator("#state .badge").first).to_have_text("Succeeded", timeout=SLOW)
    for title in ("reward_model:taste-v1", "KL to the reference", "Value head"):
        expect(chart(page, title).locator("canvas")).to_be_visible()
