"""The whole loop, in a browser: rank, freeze, train, compare, vote, and find the vote in the next dataset."""

import json
import re
from urllib.parse import urljoin

import pytest
from playwright.sync_api import Page, expect

from tests.paths.person import SLOW, check_and_launch, import_file, log_in, make_project, told_when_it_fails

pytestmark = [pytest.mark.browser, pytest.mark.training]
PROMPTS, RANKED = 9, 8
QUESTION = "Which of you is kinder?"


@pytest.fixture
def rows(tmp_path):
    """A small file: prompts, each with a polite, a curt and a rude completion."""
    path = tmp_path / "manners.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in map(row_of, range(PROMPTS))))
    return path


def row_of(number: int) -> dict:
    answers = (f"Yes, gladly: {number}.", "Perhaps.", f"No. Go away, {number}.")
    return {"prompt": f"Question {number}: may I ask?", "completions": answers}


def test_rankings_become_a_model_and_the_vote_on_it_is_a_label_again(studio, page, rows, tmp_path):
    with told_when_it_fails(page, studio, tmp_path):
        log_in(page, studio)
        project = make_project(page, "Manners", guidelines="Prefer what is **kind**.")
        import_file(page, rows, ("Question 0: may I ask?", "3 completions, to be ranked"), PROMPTS)
        rank_by_keys(page, project)
        first = freeze(page, project, "Manners one")
        run = launch(page, first)
        watch_it_end(page)
        look_at_the_model(page, run)
        compare_and_vote(page)
        second = freeze(page, project, "Manners two")
        assert second != first
        find_the_vote(page)
    assert page.complaints == []


def rank_by_keys(page: Page, project: str) -> None:
    """No mouse from here on: by what is polite, each in the order it is shown."""
    page.goto(urljoin(project, "rank/"))
    for done in range(RANKED):
        expect(page.locator("#done")).to_have_text(str(done))
        asked = question(page)
        rank_this(page)
        turned(page, asked)
        if done == 3:
            page.keyboard.press("Backspace")
            expect(page.locator(".ask")).to_contain_text(asked)
            expect(page.locator("#done")).to_have_text(str(done))
            expect(page.locator(".ranks input:checked")).to_have_count(3)
            page.keyboard.press("Enter")
            turned(page, asked)
    expect(page.locator("#done")).to_have_text(str(RANKED))
    page.wait_for_load_state("networkidle")


def question(page: Page) -> str:
    return re.search(r"Question \d+", page.locator(".ask").inner_text())[0]


def turned(page: Page, asked: str) -> None:
    expect(page.locator(".ask")).not_to_contain_text(asked)


def rank_this(page: Page) -> None:
    for text in page.locator(".answer .prose").all_inner_texts():
        page.keyboard.press("1" if "gladly" in text else "2" if "Perhaps" in text else "3")
    page.keyboard.press("Enter")


def freeze(page: Page, project: str, name: str) -> str:
    """The dataset's address, once its rows are written."""
    page.goto(urljoin(project, "freeze/"))
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Freeze").click()
    expect(page.locator(".page-head h1")).to_have_text(name)
    expect(page.locator(".state .badge")).to_have_text("ready", timeout=SLOW)
    return page.url


def launch(page: Page, dataset: str) -> str:
    """The run's address. The dataset's page leads to the form, the check to the launch."""
    page.goto(dataset)
    page.get_by_role("link", name="Train on it").click()
    page.wait_for_load_state()
    page.get_by_label("Smoke: does it run at all?").check()
    page.get_by_label("Base model").select_option(label="Little v1")
    expect(page.get_by_label("max_steps")).to_have_value("4")
    expect(page.get_by_label("Recipe")).to_have_value("dpo")
    return check_and_launch(page)


def watch_it_end(page: Page) -> None:
    page.evaluate("window.neverReloaded = true")
    expect(page.locator("#state .badge").first).to_have_text("Succeeded", timeout=SLOW)
    expect(page.locator("#state")).to_contain_text("step 4 of 4")
    expect(page.locator(".charts figure canvas").first).to_be_visible()
    assert page.evaluate("window.neverReloaded")


def look_at_the_model(page: Page, run: str) -> None:
    page.locator("#state .chip", has_text="made").click()
    expect(page.locator(".page-head h1")).to_contain_text("v1")
    lineage = page.get_by_label("Lineage", exact=True)
    for source in ("Manners one", "alice", "Little v1"):
        expect(lineage).to_contain_text(source)
    assert urljoin(page.url, page.locator(".facts a", has_text="dpo").first.get_attribute("href")) == run


def compare_and_vote(page: Page, project: str = "Manners") -> None:
    page.get_by_role("link", name="Compare with its base").first.click()
    expect(page.locator("input[name=models]:checked")).to_have_count(2)
    expect(page.get_by_label("Blind")).to_be_checked()
    page.get_by_label("Message", exact=True).fill(QUESTION)
    page.get_by_label("This vote goes to").select_option(label=project)
    page.get_by_text("Sampling").click()
    page.get_by_label("max_tokens").fill("16")
    page.get_by_label("temperature").fill("1.5")
    page.get_by_label("seed").fill("5")  # so small a model may well say nothing at all, and nothing cannot be voted on
    page.get_by_role("button", name="Ask them").click()
    both_answered(page)
    while len(set(page.locator(".answer .prose").all_inner_texts())) == 1:  # of which none is better
        with page.expect_navigation():
            page.get_by_role("button", name="Ask again").click()
        both_answered(page)
    expect(page.locator(".answer h2 a")).to_have_count(0)
    page.keyboard.press("1")
    expect(page.locator(".state")).to_contain_text("You said: A,")
    expect(page.locator(".answer h2 a")).to_have_count(2)


def both_answered(page: Page) -> None:
    expect(page.locator('#vote button[value="A"]')).to_be_enabled(timeout=SLOW)
    expect(page.locator(".answer .facts", has_text="tokens")).to_have_count(2)


def find_the_vote(page: Page) -> None:
    """The pair of answers is a row of the dataset, on one side of the split; from the row back to the vote."""
    row = page.locator(".pair", has_text=QUESTION)
    if not on_some_page(page, row):
        page.get_by_role("link", name=re.compile("^eval [0-9]+$")).click()
        assert on_some_page(page, row)
    row.get_by_role("link", name=re.compile("^ranking")).click()
    expect(page.locator("main")).to_contain_text(QUESTION)
    number = page.url.partition("#ranking-")[2]
    expect(page.locator(f"#ranking-{number}")).to_contain_text("comparison")


def on_some_page(page: Page, row) -> bool:
    more = page.get_by_role("link", name="More rows")
    while not row.count() and more.count():
        more.click()
    return row.count() > 0
