"""The reward-hacking watch in a real browser: it grows with the run, tells numbers by pointer and key, then rests."""

import pytest
from playwright.sync_api import expect

from tests.training.hacked import log_run
from training.models import TrainingJob

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
pytest_plugins = ["tests.training.pages"]


@pytest.fixture
def job(make_job):
    return make_job(recipe_name="ppo", status="running")


def points(page):
    return page.locator("#hacking .evaluation")


def test_the_panel_comes_with_the_first_evaluation_grows_and_rests_when_the_run_ends(open_page, alice, job):
    page = open_page(alice, f"/train/{job.pk}/")
    expect(page.locator("#hacking")).to_be_hidden()
    log_run(job, 2)
    expect(points(page)).to_have_count(2)
    expect(page.locator("#hacking")).to_contain_text("a curve needs at least 4 evaluations, and there are 2")
    page.locator("#hacking summary").click()
    points(page).nth(1).focus()
    log_run(job, 6, first=2)
    expect(points(page)).to_have_count(6)
    expect(page.locator("#hacking tbody tr")).to_have_count(6)
    expect(page.locator("#hacking details")).to_have_attribute("open", "")
    expect(page.locator("#hacking path.curve.gold")).to_have_count(1)
    expect(points(page).nth(1)).to_be_focused()
    result = {"gold": {"step": 30, "best": 0.7, "kept": True}}
    TrainingJob.objects.filter(pk=job.pk).update(status="succeeded", result=result)
    expect(page.locator("#hacking .ring-label")).to_have_text("kept")
    assert page.locator("#hacking [hx-trigger]").count() == 0


def test_an_evaluation_tells_its_numbers_by_pointer_and_by_key(open_page, alice, job):
    log_run(job, 8)
    page = open_page(alice, f"/train/{job.pk}/")
    said = page.locator("#hacking .said:visible")
    expect(said).to_have_count(0)
    points(page).nth(5).locator(".hit").first.hover()
    expect(said).to_contain_text("step 50 · KL 3.000 nats")
    points(page).nth(6).focus()
    page.mouse.move(0, 0)
    expect(said).to_contain_text("step 60")
    page.keyboard.press("Tab")
    expect(said).to_contain_text("step 70")
    expect(said).to_have_count(1)


def test_on_a_phone_the_plot_scrolls_and_the_page_does_not(open_page, alice, job):
    log_run(job, 8)
    page = open_page(alice, f"/train/{job.pk}/", viewport={"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.evaluate("(box => box.scrollWidth > box.clientWidth)(document.querySelector('#hacking .scrolls'))")


def test_without_scripts_the_plot_and_its_numbers_are_there(open_page, alice, job):
    log_run(job, 5)
    page = open_page(alice, f"/train/{job.pk}/", java_script_enabled=False)
    expect(points(page)).to_have_count(5)
    page.locator("#hacking summary").click()
    expect(page.locator("#hacking tbody tr").first).to_be_visible()
