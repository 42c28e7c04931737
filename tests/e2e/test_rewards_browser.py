"""The builder of rewards in a real browser: fields and text say the same, a trial comes back, and no script at all."""

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from training import reward_trials
from training.models import RewardTrial

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def text(page):
    return page.locator("#id_set-rewards")


def test_fields_write_the_text_and_the_text_draws_the_fields(open_page, alice, project):
    page = open_page(alice, reverse("rewards"))
    page.locator("#rewards-add").select_option("regex")
    page.locator("#regex-p2-o-pattern").fill('a; "b"')
    page.locator("#regex-p2-weight").fill("0.5")  # typed at once, while the pattern is on its way
    page.keyboard.press("Tab")
    expect(text(page)).to_have_value('math 1; format 0.2; regex 0.5 pattern="a; \\"b\\""')
    page.get_by_label("Remove format").click()
    expect(text(page)).to_have_value('math 1; regex 0.5 pattern="a; \\"b\\""')
    text(page).fill("exact 2; length -1 target=50")
    page.keyboard.press("Tab")
    expect(page.locator("#length-p1-o-target")).to_have_value("50")
    page.locator("#exact-p0-weight").fill("lots")
    page.keyboard.press("Tab")
    expect(page.locator("#rewards-text .error")).to_contain_text("neither a weight")
    expect(page.locator("#exact-p0-weight")).to_have_value("lots")


def test_a_completion_is_scored_where_workers_are(open_page, alice, project):
    page = open_page(alice, reverse("rewards"))
    page.get_by_label("Prompt").fill("2 + 2?")
    page.get_by_label("Completion").fill("<think>two twos</think><answer>4</answer>")
    page.get_by_label("Reference").fill("4")
    page.get_by_role("button", name="Score this completion").click()
    expect(page.locator("#trial")).to_contain_text("waiting for a worker")
    reward_trials.run(RewardTrial.objects.get())
    expect(page.locator("#trial")).to_contain_text("Value: 4 is right.")
    expect(page.locator("#trial .big")).to_contain_text("1.2")


def test_without_a_script_the_text_is_the_list(open_page, alice, project):
    page = open_page(alice, reverse("rewards"), java_script_enabled=False)
    expect(page.locator("#math-p0-weight")).to_be_hidden()
    text(page).fill("exact 3")
    page.get_by_label("Completion").fill("yes")
    page.get_by_label("Reference").fill("yes")
    page.get_by_role("button", name="Score this completion").click()
    reward_trials.run(RewardTrial.objects.get())
    page.get_by_role("link", name="Look again").click()
    expect(page.locator("#trial .big")).to_contain_text("3")


def test_the_page_fits_a_telephone(open_page, alice, project):
    page = open_page(alice, reverse("rewards"), viewport={"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
