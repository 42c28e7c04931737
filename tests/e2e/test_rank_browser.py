"""The ranking page in a real browser: keys, drag, drafts, undo, a lost connection, and no script at all."""

import re

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from annotation.leases import reserve
from annotation.models import Draft, Lease, Project, Prompt, RankedCompletion, Ranking, Skip
from tests.annotation.test_leases import let_expire
from tests.e2e.browser import eventually

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def visit(open_page, project, bob):
    """Open the ranking page as bob."""
    page = reverse("rank", args=[project.slug])
    return lambda user=bob, path=page, **options: open_page(user, path, **options)


def four(make_prompt, count=3, **fields):
    return [make_prompt(f"Question {n}", [f"Answer {c} to {n}" for c in range(4)], **fields) for n in range(count)]


def ranks_of(ranking):
    """{letter as shown: rank}"""
    return {"ABCDEFGHIJKLMNOP"[place.shown - 1]: place.rank for place in ranking.ranked.all()}


def asks(page, prompt):
    expect(page.locator(".ask")).to_contain_text(prompt.text)


def test_four_completions_are_ranked_by_keys_alone(visit, make_prompt):
    first, second, _third = four(make_prompt)
    page = visit()
    asks(page, first)
    for key in "2131":
        page.keyboard.press(key)
    expect(page.locator("#announce")).to_have_text("D is 1, tied with B. All ranked; Enter submits.")
    expect(page.locator('.marks[data-rank="1"] b')).to_have_text(["B", "D"])
    page.keyboard.press("Enter")
    asks(page, second)
    expect(page.locator("#done")).to_have_text("1")
    eventually(page, Ranking.objects.exists)
    ranking = Ranking.objects.get()
    assert ranks_of(ranking) == {"A": 2, "B": 1, "C": 3, "D": 1}
    assert ranking.prompt == first


def test_the_page_turns_without_waiting_for_the_server(visit, make_prompt):
    _first, second, third = four(make_prompt)
    page = visit(grumbles=True)
    eventually(page, lambda: Lease.objects.count() == 2)
    page.wait_for_load_state("networkidle")
    page.context.set_offline(True)
    page.keyboard.type("1234", delay=20)
    page.keyboard.press("Enter")
    asks(page, second)
    page.context.set_offline(False)
    page.keyboard.type("1234", delay=20)
    page.keyboard.press("Enter")
    asks(page, third)


def test_a_ranking_made_without_a_connection_is_kept_and_sent_later(visit, make_prompt):
    first, second, _third = four(make_prompt)
    page = visit(grumbles=True)
    eventually(page, lambda: Lease.objects.count() == 2)
    page.wait_for_load_state("networkidle")
    page.context.set_offline(True)
    page.keyboard.type("4321", delay=20)
    page.keyboard.press("Enter")
    asks(page, second)
    expect(page.locator("#toasts")).to_contain_text("kept here and sent when")
    expect(page.locator(".saved")).to_have_text("1 not sent yet")
    assert not Ranking.objects.exists()
    page.context.set_offline(False)
    eventually(page, Ranking.objects.exists)
    assert ranks_of(Ranking.objects.get()) == {"A": 4, "B": 3, "C": 2, "D": 1}
    assert Ranking.objects.get().prompt == first


def test_a_ranking_not_sent_before_the_tab_closed_is_sent_on_the_next_visit(visit, make_prompt, live_server):
    first, _second, _third = four(make_prompt)
    page = visit(grumbles=True)
    eventually(page, lambda: Lease.objects.count() == 2)
    page.wait_for_load_state("networkidle")
    context = page.context
    context.set_offline(True)
    page.keyboard.type("1234", delay=20)
    page.keyboard.press("Enter")
    expect(page.locator(".saved")).to_have_text("1 not sent yet")
    page.close(run_before_unload=False)
    context.set_offline(False)
    again = context.new_page()
    again.goto(live_server.url + reverse("rank", args=[first.project.slug]))
    eventually(again, Ranking.objects.exists)
    assert Ranking.objects.get().prompt == first
    expect(again.locator(".ask")).not_to_contain_text(first.text)


def test_backspace_opens_the_last_decision_again_as_it_was(visit, make_prompt):
    first, second, _third = four(make_prompt)
    page = visit()
    page.keyboard.type("4321", delay=20)
    page.keyboard.press("c")
    page.keyboard.type("B is shortest")
    page.keyboard.press("Control+Enter")
    asks(page, second)
    page.keyboard.press("Backspace")
    asks(page, first)
    expect(page.locator("textarea")).to_have_value("B is shortest")
    expect(page.locator(".ranks input:checked")).to_have_count(4)
    assert not Ranking.objects.exists()
    page.keyboard.press("Enter")
    asks(page, second)
    eventually(page, Ranking.objects.exists)
    assert ranks_of(Ranking.objects.get()) == {"A": 4, "B": 3, "C": 2, "D": 1}
    assert Prompt.objects.get(pk=first.pk).labels_given == 1


def test_leaving_and_returning_restores_the_draft_from_the_server(visit, make_prompt):
    four(make_prompt)
    page = visit()
    page.keyboard.type("31", delay=20)
    page.locator("textarea").fill("half way")
    expect(page.locator(".saved")).to_contain_text("saved")
    page.locator("textarea").fill("half way there")
    page.goto("about:blank")  # at once: the pause after typing is not over
    eventually(page, lambda: Draft.objects.filter(data__comment="half way there").exists())
    elsewhere = visit()
    expect(elsewhere.locator("textarea")).to_have_value("half way there")
    expect(elsewhere.locator('.marks[data-rank="3"] b')).to_have_text("A")
    expect(elsewhere.locator('.marks[data-rank="1"] b')).to_have_text("B")


def test_two_tabs_show_the_same_prompt_and_give_one_label(visit, make_prompt):
    first, second, _third = four(make_prompt)
    one, two = visit(), visit()
    for tab in (one, two):
        asks(tab, first)
        tab.keyboard.type("1234", delay=20)
        tab.keyboard.press("Enter")
        asks(tab, second)
    one.wait_for_load_state("networkidle")
    two.wait_for_load_state("networkidle")
    assert Ranking.objects.count() == 1


def test_completions_are_dragged_into_an_order(visit, make_prompt):
    four(make_prompt)
    page = visit()
    for letter, rank in (("C", 1), ("A", 2), ("B", 2), ("D", 3)):
        page.locator(".mark", has_text=re.compile(f"^\\s*{letter}\\b")).drag_to(
            page.locator(f'.marks[data-rank="{rank}"]')
        )
        expect(page.locator(f'.answer[data-letter="{letter}"] .ranks input:checked')).to_have_value(str(rank))
    page.get_by_role("button", name="Submit").click()
    eventually(page, Ranking.objects.exists)
    assert ranks_of(Ranking.objects.get()) == {"A": 2, "B": 2, "C": 1, "D": 3}


def test_without_ties_a_taken_rank_changes_places(visit, make_prompt):
    four(make_prompt)
    Project.objects.update(allow_ties=False)
    page = visit()
    for key in "12":
        page.keyboard.press(key)
    page.keyboard.press("ArrowUp")
    page.keyboard.press("1")
    expect(page.locator('.marks[data-rank="1"] b')).to_have_text(["B"])
    expect(page.locator('.marks[data-rank="2"] b')).to_have_text(["A"])


def test_digits_typed_quickly_join(visit, make_prompt):
    make_prompt("Many", [f"Answer {n}" for n in range(12)])
    page = visit()
    page.keyboard.type("12", delay=20)
    expect(page.locator('.marks[data-rank="12"] b')).to_have_text("A")
    page.keyboard.press("1")
    expect(page.locator('.marks[data-rank="1"] b')).to_have_text("B")


def test_submitting_too_early_says_what_is_missing(visit, make_prompt):
    four(make_prompt)
    page = visit()
    page.keyboard.type("12", delay=20)
    page.keyboard.press("Enter")
    expect(page.locator(".answer .error")).to_have_text(["C has no rank yet.", "D has no rank yet."])
    expect(page.locator(".answer.current .letter")).to_have_text("C")


@pytest.mark.parametrize(("key", "best"), [("1", {"A": 1, "B": 2}), ("2", {"A": 2, "B": 1}), ("0", {"A": 1, "B": 1})])
def test_one_key_decides_between_two(visit, make_prompt, key, best):
    make_prompt("First", ["yes", "no"])
    second = make_prompt("Second", ["yes", "no"])
    page = visit()
    page.keyboard.press(key)
    asks(page, second)
    eventually(page, Ranking.objects.exists)
    assert ranks_of(Ranking.objects.get()) == best
    assert not Ranking.objects.get().all_bad


def test_both_bad_is_not_a_tie(visit, make_prompt):
    make_prompt("First", ["yes", "no"])
    page = visit()
    page.keyboard.press("x")
    expect(page.get_by_role("heading", name="Done. Thank you.")).to_be_visible()
    eventually(page, Ranking.objects.exists)
    assert Ranking.objects.get().all_bad


def test_skipping_asks_why_and_can_be_undone(visit, make_prompt):
    first, second, _third = four(make_prompt)
    page = visit()
    page.keyboard.press("s")
    page.keyboard.press("2")
    asks(page, second)
    eventually(page, Skip.objects.exists)
    assert Skip.objects.get().reason == "language"
    page.locator(".toast button").click()
    asks(page, first)
    assert not Skip.objects.exists()


def test_flags_and_all_bad_are_kept_with_the_ranking(visit, make_prompt):
    four(make_prompt)
    page = visit()
    page.keyboard.press("f")
    page.keyboard.press("1")
    page.keyboard.press("Escape")
    page.keyboard.press("x")
    page.keyboard.type("all of them invent facts")
    page.keyboard.press("Control+Enter")
    eventually(page, Ranking.objects.exists)
    ranking = Ranking.objects.get()
    assert (ranking.unsure, ranking.all_bad, ranking.bad_prompt) == (True, True, False)
    assert ranking.comment == "all of them invent facts"


def test_guidelines_and_keys_open_by_key(visit, make_prompt):
    four(make_prompt)
    page = visit()
    page.keyboard.press("g")
    expect(page.locator("#guidelines")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("1")
    assert not page.locator(".ranks input:checked").count(), "keys belong to the dialog while it is open"


def test_a_phone_shows_one_completion_at_a_time_and_ranks_by_tapping(visit, make_prompt):
    four(make_prompt)
    page = visit(viewport={"width": 390, "height": 844}, has_touch=True)
    for rank in (2, 1, 3, 4):
        page.locator(f'.slot[data-rank="{rank}"]').tap()
        page.wait_for_timeout(500)
    page.get_by_role("button", name="Submit").tap()
    eventually(page, Ranking.objects.exists)
    assert ranks_of(Ranking.objects.get()) == {"A": 2, "B": 1, "C": 3, "D": 4}


def test_a_plain_form_ranks_without_any_script(visit, make_prompt):
    first, second = four(make_prompt, 2)
    page = visit(java_script_enabled=False, grumbles=True)
    for letter, rank in zip("ABC", (1, 2, 2), strict=True):
        page.get_by_role("group", name=f"Rank of completion {letter}").get_by_label(str(rank), exact=True).check()
    page.locator("textarea").fill("kept")
    page.get_by_role("button", name="Submit").click()
    expect(page.locator(".answer .error")).to_have_text(["D has no rank yet."])
    expect(page.locator("textarea")).to_have_value("kept")
    expect(page.locator(".ranks input:checked")).to_have_count(3)
    page.get_by_role("group", name="Rank of completion D").get_by_label("3", exact=True).check()
    page.get_by_role("button", name="Submit").click()
    asks(page, second)
    assert ranks_of(Ranking.objects.get()) == {"A": 1, "B": 2, "C": 2, "D": 3}
    page.get_by_role("button", name="Undo").click()
    asks(page, first)
    expect(page.locator("textarea")).to_have_value("kept")
    page.locator(".skips summary").click()
    page.get_by_role("button", name="Other").click()
    asks(page, second)
    assert Skip.objects.get().prompt == first


def test_hostile_text_is_text(visit, make_prompt):
    bad = [
        "<img src=x onerror=\"document.title='ran'\">",
        "<script>document.title='ran'</script>",
        "[x](javascript:alert(1))",
    ]
    make_prompt("<svg onload=\"document.title='ran'\">", bad)
    page = visit()
    expect(page.locator(".ask")).to_contain_text("<svg onload")
    page.wait_for_timeout(300)
    assert page.title() != "ran"
    assert page.locator(".answers script, .answers img, .mark img").count() == 0


def test_arabic_runs_from_right_to_left_and_math_and_code_are_drawn(visit, make_prompt):
    make_prompt("كيف حالك؟", ["أنا بخير، شكراً لك.", "Inline $x^2$ here", "```python\nprint(1)\n```"])
    page = visit()
    asks_dir = page.locator(".ask .prose p").evaluate("element => getComputedStyle(element).direction")
    assert asks_dir == "rtl"
    expect(page.locator(".answer .katex")).to_have_count(1)
    expect(page.locator(".answer pre.code")).to_have_count(1)


def test_a_page_that_waits_for_others_becomes_a_card_when_a_prompt_is_free(visit, make_prompt, project, alice):
    prompt = make_prompt("Held by another", ["One", "Two", "Three"])
    reserve(project, alice)
    page = visit()
    expect(page.locator(".label-end")).to_contain_text("The rest is with others")
    look = """() => new Promise((done) => {  // as coming back to the tab does; done when the answer stands on the page
        document.addEventListener("htmx:afterSettle", () => done(), { once: true });
        document.dispatchEvent(new Event("visibilitychange"));
    })"""
    page.evaluate(look)
    expect(page.locator(".label-end")).to_contain_text("The rest is with others")
    let_expire()
    page.evaluate(look)
    asks(page, prompt)
    expect(page.locator("#announce")).to_have_text("A prompt is free now, 3 completions.")
    for key in "213":
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    expect(page.locator(".label-end")).to_contain_text("Done. Thank you.")
    assert ranks_of(Ranking.objects.get()) == {"A": 2, "B": 1, "C": 3}


def test_the_last_page_says_what_was_done(visit, make_prompt, project):
    four(make_prompt, 1)
    page = visit()
    page.keyboard.type("1234", delay=20)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Done. Thank you.")).to_be_visible()
    expect(page.locator(".tile", has_text="label from you")).to_contain_text("1")
    page.keyboard.press("Backspace")
    expect(page.locator(".ranks input:checked")).to_have_count(4)
    assert not RankedCompletion.objects.exists()
