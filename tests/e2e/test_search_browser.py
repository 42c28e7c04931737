"""The tree of a search in a real browser: steps by click and key, folds, the list, and no script at all."""

import pytest
from playwright.sync_api import expect

from tests.training import puzzles
from training.models import ModelVersion, SearchRun
from training.search import search
from training.search_draw import Settings
from training.searching import KNOBS

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def run(bob):
    knobs = {"n": 16, "width": 2}
    grown = search("beam", puzzles.Digits(), puzzles.perfect, Settings(**knobs), extract=puzzles.answer)
    policy = ModelVersion.objects.create(name="small", version=1, slug="small-v1")
    judge = ModelVersion.objects.create(name="prm", version=1, slug="prm-v1", makes="process_reward_model")
    return SearchRun.objects.create(
        messages=[{"role": "user", "content": "Three even digits."}], policy=policy, scorer=judge, strategy="beam",
        settings=KNOBS | knobs, total=40, done=40, status="succeeded", created_by=bob, result=grown.as_json(),
    )  # fmt: skip


def steps(page):
    return page.locator(".search-tree a[data-node]")


def focused(page) -> str:
    return page.evaluate("document.activeElement.getAttribute('aria-label')")


def test_a_step_shows_its_text_and_numbers_without_leaving_the_tree(open_page, bob, run):
    page = open_page(bob, run.get_absolute_url())
    steps(page).nth(1).click()
    expect(page.locator("#node")).to_contain_text("Score of this step")
    expect(page.locator("#node")).to_contain_text("1.0000")
    assert page.url.endswith(run.get_absolute_url())
    expect(steps(page).nth(1)).to_have_attribute("aria-current", "true")
    page.get_by_role("link", name="Close").click()
    expect(page.locator("#node")).to_be_empty()


def test_arrows_walk_along_the_tree_and_enter_opens_a_step(open_page, bob, run):
    page = open_page(bob, run.get_absolute_url())
    steps(page).first.focus()
    page.keyboard.press("ArrowRight")
    assert "chosen" in focused(page)
    page.keyboard.press("ArrowDown")
    assert "chosen" not in focused(page)
    page.keyboard.press("ArrowLeft")
    assert focused(page) == "the problem"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.locator("#node")).to_contain_text("Value of the path")


def test_folds_open_and_close_and_the_tree_shrinks(open_page, bob, run):
    page = open_page(bob, run.get_absolute_url())
    before, width = steps(page).count(), page.locator(".search-tree > svg").bounding_box()["width"]
    page.locator(".search-tree a:has(.fold)").first.click()
    expect(page.get_by_role("link", name="Fold again")).to_be_visible()
    assert steps(page).count() > before
    page.get_by_role("link", name="50 %").click()
    assert page.locator(".search-tree > svg").bounding_box()["width"] < 0.6 * width
    page.get_by_role("link", name="Fold again").click()
    expect(steps(page)).to_have_count(before)


def test_on_a_phone_the_tree_scrolls_and_the_page_does_not(open_page, bob, run):
    page = open_page(bob, run.get_absolute_url(), viewport={"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.evaluate("(box => box.scrollWidth > box.clientWidth)(document.querySelector('.search-tree'))")
    page.get_by_role("link", name="List").click()
    expect(page.locator(".paths details").first).to_have_attribute("open", "")


def test_without_scripts_links_open_steps_and_folds(open_page, bob, run):
    page = open_page(bob, run.get_absolute_url(), java_script_enabled=False)
    steps(page).nth(1).click()
    page.wait_for_url("**node=*")
    assert page.locator("#node").inner_text().startswith("Step")
