"""The launch form on a slow server, in a real browser: what is typed before the answer comes is never lost."""

import threading
from contextlib import contextmanager

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from training.views import launch, rewards

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
pytest_plugins = ["tests.training.pages"]
TEXT, MATH, FORMAT = "#id_set-rewards", "#math-p0-weight", "#format-p1-weight"


@pytest.fixture
def unanswered(monkeypatch):
    """A block in which the server hears what is asked and answers nothing; afterwards it answers all."""
    answers = threading.Event()
    answers.set()

    def late(view):
        def answer(*args, **kwargs):
            assert answers.wait(30)
            return view(*args, **kwargs)

        return answer

    for module in (launch, rewards):
        monkeypatch.setattr(module, "render", late(module.render))

    @contextmanager
    def unanswered():
        answers.clear()
        try:
            yield
        finally:
            answers.set()

    return unanswered


@pytest.fixture(params=["rewards", "job_new"])
def builder(request, open_page, alice, project, small_model):
    """The page of rewards, and the launch page, with the same list."""
    page = open_page(alice, reverse(request.param) + "?recipe=grpo&preset=small")
    write(page, "math 1; format 0.2")
    expect(page.locator(FORMAT)).to_have_value("0.2")
    return page


@pytest.fixture
def form(open_page, alice, project, small_model):
    return open_page(alice, reverse("job_new") + "?recipe=dpo&preset=small")


def write(page, text: str) -> None:
    page.locator(TEXT).fill(text)
    page.keyboard.press("Tab")


def change(page, field: str, value: str) -> None:
    page.locator(field).fill(value)
    page.keyboard.press("Tab")


def test_a_weight_typed_while_parts_come_and_go_stays(builder, unanswered):
    with unanswered():
        builder.get_by_label("Remove format").click()
        change(builder, MATH, "2")
        builder.locator("#rewards-add").select_option("regex")
        builder.locator("#math-p0-weight").fill("3")
    expect(builder.locator(".part strong")).to_have_text(["math", "regex"])
    expect(builder.locator(MATH)).to_be_focused()
    builder.keyboard.press("Tab")
    expect(builder.locator(TEXT)).to_have_value("math 3; regex 1")
    expect(builder.locator("#rewards-add")).to_have_value("")


def test_two_parts_are_removed_at_once(builder, unanswered):
    with unanswered():
        builder.get_by_label("Remove format").click()
        builder.get_by_label("Remove math").click()
    expect(builder.locator(".part")).to_have_count(0)
    expect(builder.locator(TEXT)).to_have_value("")


def test_a_part_added_after_one_was_removed_is_filled_in_under_its_own_name(builder):
    builder.get_by_label("Remove math").click()
    expect(builder.locator(".part")).to_have_count(1)
    builder.locator("#rewards-add").select_option("length")
    builder.locator("#length-p2-o-target").fill("50")
    builder.locator(FORMAT).fill("0.5")
    builder.keyboard.press("Tab")
    expect(builder.locator(TEXT)).to_have_value("format 0.5; length 1 target=50")


def test_a_text_typed_while_a_weight_is_on_its_way_stays_and_so_does_the_weight(builder, unanswered):
    with unanswered():
        change(builder, MATH, "2")
        write(builder, "math 1; format 0.4; exact 1")
    expect(builder.locator(".part strong")).to_have_text(["math", "format", "exact"])
    expect(builder.locator(TEXT)).to_have_value("math 2; format 0.4; exact 1")
    expect(builder.locator(MATH)).to_have_value("2")


def test_a_text_typed_while_a_part_is_added_stays(builder, unanswered):
    with unanswered():
        builder.locator("#rewards-add").select_option("exact")
        builder.locator(TEXT).fill("math 5")
    expect(builder.locator(".part")).to_have_count(3)
    expect(builder.locator(TEXT)).to_have_value("math 5")
    builder.keyboard.press("Tab")
    expect(builder.locator(".part")).to_have_count(1)
    expect(builder.locator(MATH)).to_have_value("5")


def test_a_text_typed_on_while_it_is_read_stays(builder, unanswered):
    with unanswered():
        write(builder, "math 5")
        builder.locator(TEXT).fill("math 5; exact 1")
    expect(builder.locator(".part")).to_have_count(1)
    expect(builder.locator(TEXT)).to_be_focused()
    builder.keyboard.type("0")
    builder.keyboard.press("Tab")
    expect(builder.locator("#exact-p1-weight")).to_have_value("10")
    expect(builder.locator(TEXT)).to_have_value("math 5; exact 10")


def test_a_weight_typed_while_the_text_is_read_goes_to_its_own_part(builder, unanswered):
    with unanswered():
        write(builder, "math 1; exact 1; format 1")
        change(builder, MATH, "7")
        change(builder, FORMAT, "9")  # its place is taken by another part
    expect(builder.locator(".part strong")).to_have_text(["math", "exact", "format"])
    expect(builder.locator(TEXT)).to_have_value("math 7; exact 1; format 1")
    expect(builder.locator("#exact-p1-weight")).to_have_value("1")


def test_recipe_and_preset_chosen_at_once_are_both_chosen_and_what_is_typed_meanwhile_stays(form, unanswered):
    with unanswered():
        form.get_by_label("Recipe").select_option("grpo")
        form.get_by_label("Smoke: does it run at all?").check()
        form.get_by_label("Name").fill("Night")
        form.get_by_label("max_steps").fill("70")
        form.get_by_label("learning_rate").fill("3e-4")
        form.keyboard.press("ArrowLeft")
    expect(form.locator("input[name=shown]")).to_have_value("grpo smoke")
    expect(form.get_by_label("Smoke: does it run at all?")).to_be_checked()
    expect(form.get_by_label("Recipe")).to_have_value("grpo")
    expect(form.get_by_label("Name")).to_have_value("Night")
    expect(form.get_by_label("max_steps")).to_have_value("70")
    expect(form.get_by_label("learning_rate")).to_be_focused()
    form.keyboard.type("1")
    expect(form.get_by_label("learning_rate")).to_have_value("3e-14")


def test_a_weight_typed_while_a_preset_is_filled_in_stays_and_the_text_says_it(form, unanswered):
    form.get_by_label("Recipe").select_option("grpo")
    expect(form.locator(MATH)).to_have_value("1")
    with unanswered():
        form.get_by_label("Smoke: does it run at all?").check()
        change(form, MATH, "7")
    expect(form.locator("input[name=shown]")).to_have_value("grpo smoke")
    expect(form.locator(MATH)).to_have_value("7")
    expect(form.locator(TEXT)).to_have_value("math 7")


def test_a_part_added_while_a_preset_is_filled_in_is_added_to_what_it_brings(form, unanswered):
    form.get_by_label("Recipe").select_option("grpo")
    expect(form.locator(MATH)).to_have_value("1")
    with unanswered():
        form.get_by_label("Smoke: does it run at all?").check()
        form.locator("#rewards-add").select_option("exact")
    expect(form.locator(".part strong")).to_have_text(["math", "exact"])
    expect(form.locator(TEXT)).to_have_value("math 1; exact 1")
