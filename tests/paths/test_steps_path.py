"""The loop of reasoning traces, in a browser: import, machine labels, keys, a process reward model, a search."""

import json
import re
from urllib.parse import urljoin

import pytest
from playwright.sync_api import Page, expect

from tests.paths.person import SLOW, check_and_launch, import_file, log_in, make_project, told_when_it_fails

pytestmark = [pytest.mark.browser, pytest.mark.training]
TRACES = 12


@pytest.fixture
def rows(tmp_path):
    """Traces as BIG-Bench Mistake publishes them, with the index of the first wrong step."""
    path = tmp_path / "mistakes.jsonl"
    path.write_text("".join(json.dumps(row_of(n)) + "\n" for n in range(TRACES)))
    return path


def row_of(n: int) -> dict:
    """2 · 3 + n, and every other time the product is wrong."""
    wrong = n % 2
    product = 6 + wrong
    steps = ["First the product, then the sum.", f"2 * 3 = {product}", f"{product} + {n} = {product + n}"]
    answer, target = str(product + n), str(6 + n)
    return {
        "input": f"2 * 3 + {n} =",
        "steps": [*steps, f"So the answer is {answer}."],
        "target": target,
        "answer": answer,
        "mistake_index": 1 if wrong else None,
    }


def test_marked_steps_become_a_model_that_searches(studio, page, rows, tmp_path):
    with told_when_it_fails(page, studio, tmp_path):
        log_in(page, studio)
        project = make_project(page, "Steps of sums", kind="steps")
        import_file(page, rows, ("First the product, then the sum.",), TRACES)
        let_a_verifier_propose(page, project)
        mark_three_by_keys(page, project)
        dataset = freeze(page, project)
        search(page, train(page, dataset))
    assert page.complaints == []


def let_a_verifier_propose(page: Page, project: str) -> None:
    page.goto(urljoin(project, "label-steps/"))
    page.get_by_role("link", name=re.compile("verifier", re.I)).click()
    page.get_by_role("button", name="Label the steps").click()
    expect(page.locator("article .badge").first).to_have_text("Succeeded", timeout=SLOW)
    page.get_by_role("button", name="Propose to labelers").click()
    expect(page.get_by_role("button", name="Proposed to labelers")).to_be_visible()


def mark_three_by_keys(page: Page, project: str) -> None:
    """A right trace accepted, a wrong one corrected, and one marked by hand; no mouse."""
    page.goto(urljoin(project, "steps/"))
    expect(page.locator(".ask")).to_contain_text("2 * 3 + 0")
    page.keyboard.press("3")
    page.keyboard.press("Shift+A")  # the verifier says nothing of the last step
    page.keyboard.press("n")
    page.keyboard.press("3")
    submit(page, "2 * 3 + 1")
    expect(page.locator(".proposal.bad")).to_contain_text("2 * 3 = 6, not 7")
    for key in ("3", "a", "1", "1"):  # it takes the third step for good, and the labeler does not
        page.keyboard.press(key)
    submit(page, "2 * 3 + 2")
    for key in "3333":
        page.keyboard.press(key)
    submit(page, "2 * 3 + 3")
    expect(page.locator("#done")).to_have_text("3")
    page.wait_for_load_state("networkidle")


def submit(page: Page, then: str) -> None:
    expect(page.locator(".marked")).to_have_text("4 of 4")
    page.keyboard.press("Enter")
    expect(page.locator(".ask")).to_contain_text(then)


def freeze(page: Page, project: str) -> str:
    """The dataset's address: what people said, and where they said nothing, the file."""
    page.goto(urljoin(project, "freeze/"))
    page.get_by_label("Name").fill("Sums one")
    page.get_by_label("import:mistakes.jsonl").select_option(index=2)
    page.get_by_role("button", name="Freeze").click()
    expect(page.locator(".page-head h1")).to_have_text("Sums one")
    expect(page.locator(".state .badge")).to_have_text("ready", timeout=SLOW)
    expect(page.locator("main")).to_contain_text("2 * 3 = 7")
    return page.url


def train(page: Page, dataset: str) -> str:
    """The model's name and version."""
    page.goto(dataset)
    page.get_by_role("link", name="Train on it").click()
    page.wait_for_load_state()
    expect(page.get_by_label("Recipe")).to_have_value("prm")
    page.get_by_label("Smoke: does it run at all?").check()
    page.get_by_label("Base model").select_option(label="Little v1")
    expect(page.get_by_label("max_steps")).to_have_value("4")
    check_and_launch(page)
    expect(page.locator("#state .badge").first).to_have_text("Succeeded", timeout=SLOW)
    page.locator("#state .chip", has_text="made").click()
    expect(page.locator("main")).to_contain_text("Process reward model")
    return page.locator(".page-head h1").inner_text()


def search(page: Page, scorer: str) -> None:
    page.get_by_role("navigation", name="The loop").get_by_role("link", name="Compare").click()
    page.get_by_role("link", name="Search").first.click()
    page.get_by_label("Problem").fill("2 * 3 + 4 =")
    page.get_by_label("Reference answer").fill("10")
    page.get_by_label("Policy").select_option(label="Little v1")
    page.get_by_label("Scorer").select_option(label=scorer)
    page.get_by_label("Strategy").select_option("weighted")
    page.get_by_label("N", exact=True).fill("4")
    page.get_by_text("Steps and sampling").click()
    page.get_by_label("Step tokens").fill("8")
    page.get_by_role("button", name="Search", exact=True).click()
    page.wait_for_url(re.compile(r"/search/\d+/$"))
    tree = page.get_by_label("Tree", exact=True)
    steps = tree.locator("a[data-node]")
    expect(steps.nth(2)).to_be_visible(timeout=SLOW)
    expect(page.locator("#run .badge.queued, #run .badge.running")).to_have_count(0, timeout=SLOW)
    steps.nth(1).click()
    expect(page.locator("#node")).to_contain_text("Score of this step")
