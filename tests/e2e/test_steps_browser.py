"""The step page in a real browser: traces by keyboard alone, proposals, drafts, undo, a phone, and no script at all."""

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from annotation.models import Alternative, Draft, Lease, Project, Prompt, StepLabels
from tests.e2e.browser import eventually
from training import alternatives

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
STEPS = ("3 × 4 = 12", "12 + 5 = 18", "The answer is 18.")


@pytest.fixture
def visit(open_page, traces, bob):
    """Open the step page as bob."""
    page = reverse("steps", args=[traces.slug])
    return lambda user=bob, path=page, **options: open_page(user, path, **options)


@pytest.fixture
def proposing(traces):
    """The project, with two sources whose labels its page proposes."""
    Project.objects.filter(pk=traces.pk).update(proposals=["verifier:arithmetic", "model:prm-v1"])
    return traces


def propose(trace, first, second=()):
    notes = {"1": "12 + 5 = 17, not 18"}
    StepLabels.objects.create(prompt=trace, kind="verifier", source="arithmetic", ratings=first, notes=notes)
    StepLabels.objects.create(prompt=trace, kind="model", source="prm-v1", scores=list(second))


def asks(page, trace):
    expect(page.locator(".ask")).to_contain_text(trace.text)


def labels_of(trace):
    return StepLabels.objects.by_people().filter(prompt=trace).first()


def test_three_traces_are_marked_by_keys_alone(visit, make_trace):
    first, second, third = (make_trace(f"Problem {n}") for n in range(3))
    page = visit()
    asks(page, first)
    for key in "311":
        page.keyboard.press(key)
    expect(page.locator("#announce")).to_have_text("Step 3 bad. All marked; Enter submits.")
    page.keyboard.press("Enter")
    asks(page, second)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("2")
    expect(page.locator(".step.current")).to_have_attribute("data-step", "2")
    page.keyboard.press("n")
    page.keyboard.press("n")
    page.keyboard.press("m")
    expect(page.locator(".marked")).to_have_text("3 of 3")
    page.keyboard.press("Enter")
    asks(page, third)
    page.keyboard.press("q")
    page.keyboard.press("3")
    expect(page.get_by_role("heading", name="Done. Thank you.")).to_be_visible()
    expect(page.locator("#done")).to_have_text("3")
    eventually(page, lambda: labels_of(third))
    assert labels_of(first).ratings == [1, -1, -1]
    assert labels_of(second).ratings == [1, 0, 1]
    assert (labels_of(third).ratings, labels_of(third).gave_up) == ([], "unclear")


def test_proposals_are_accepted_one_by_one_or_all_and_corrected(visit, make_trace, proposing):
    one, two = make_trace("One"), make_trace("Two")
    propose(one, [1, -1], [0.97, 0.31, 0.22])
    propose(two, [1, 1], [0.9, 0.2, 0.9])
    page = visit()
    expect(page.locator(".proposal.bad")).to_have_count(3)
    expect(page.locator(".step").nth(1)).to_contain_text("12 + 5 = 17, not 18")
    page.keyboard.press("a")
    page.keyboard.press("2")
    page.keyboard.press("a")
    expect(page.locator(".proposal.corrected")).to_have_count(2)
    page.keyboard.press("Enter")
    asks(page, two)
    page.keyboard.press("Shift+A")
    expect(page.locator("#announce")).to_have_text("2 steps marked as proposed. 1 unmarked.")
    page.keyboard.press("a")
    expect(page.locator("#announce")).to_contain_text("The sources disagree on this step")
    page.locator(".step").nth(1).locator(".proposal.bad").click()
    page.keyboard.press("Enter")
    eventually(page, lambda: labels_of(two))
    assert labels_of(one).ratings == [1, 0, -1]
    assert labels_of(one).proposed["verifier:arithmetic"] == {"0": "accepted", "1": "corrected"}
    assert labels_of(one).proposed["model:prm-v1"] == {"0": "accepted", "1": "corrected", "2": "accepted"}
    assert labels_of(two).ratings == [1, -1, 1]
    assert labels_of(two).proposed["verifier:arithmetic"] == {"0": "accepted", "1": "corrected"}


def test_backspace_opens_the_last_labels_again_as_they_were(visit, make_trace):
    first, second = make_trace("One"), make_trace("Two")
    page = visit()
    page.keyboard.type("313", delay=20)
    page.keyboard.press("ArrowUp")
    page.keyboard.press("f")
    page.keyboard.press("e")
    page.keyboard.type("12 + 5 = 17")
    page.keyboard.press("Control+Enter")
    asks(page, second)
    page.keyboard.press("Backspace")
    asks(page, first)
    expect(page.locator(".faces input:checked")).to_have_count(3)
    expect(page.locator(".better[open] textarea")).to_have_value("12 + 5 = 17")
    assert not StepLabels.objects.exists()
    page.keyboard.press("Enter")
    asks(page, second)
    eventually(page, lambda: labels_of(first))
    labels = labels_of(first)
    assert (labels.ratings, labels.flagged) == ([1, -1, 1], [1])
    assert labels.rewrites == {"1": {"text": "12 + 5 = 17", "source": ""}}
    assert Prompt.objects.get(pk=first.pk).labels_given == 1


def test_leaving_and_returning_restores_the_draft_from_the_server(visit, trace):
    page = visit()
    page.keyboard.type("31", delay=20)
    expect(page.locator(".saved")).to_contain_text("saved")
    page.keyboard.press("c")
    page.keyboard.type("half way there")
    page.goto("about:blank")  # at once: the pause after typing is not over
    eventually(page, lambda: Draft.objects.filter(data__comment="half way there").exists())
    elsewhere = visit()
    expect(elsewhere.locator(".remark textarea")).to_have_value("half way there")
    expect(elsewhere.locator(".faces input:checked")).to_have_count(2)
    expect(elsewhere.locator(".step.current")).to_have_attribute("data-step", "2")


def test_where_the_first_bad_step_ends_it_the_rest_is_dimmed_and_not_asked(visit, make_trace, traces):
    Project.objects.update(stop_at_first_bad=True)
    first, second = make_trace("One"), make_trace("Two")
    page = visit()
    page.keyboard.type("31", delay=20)
    expect(page.locator(".step.after")).to_have_count(1)
    expect(page.locator(".marked")).to_have_text("2 of 2")
    page.keyboard.press("Enter")
    asks(page, second)
    eventually(page, lambda: labels_of(first))
    assert labels_of(first).ratings == [1, -1]


def test_submitting_too_early_says_what_is_not_marked(visit, trace):
    page = visit()
    page.keyboard.press("3")
    page.keyboard.press("Enter")
    expect(page.locator(".step .error")).to_have_text(["Not marked yet.", "Not marked yet."])
    expect(page.locator(".step.current")).to_have_attribute("data-step", "1")


def test_the_reference_is_hidden_until_it_is_wished_for(visit, trace):
    page = visit()
    answer = page.locator(".reference .prose")
    expect(answer).to_be_hidden()
    page.keyboard.press("r")
    expect(answer).to_be_visible()
    page.keyboard.press("r")
    expect(answer).to_be_hidden()


def test_a_better_step_is_chosen_among_alternatives(visit, trace):
    Alternative.objects.create(completion=trace.completions.get(), step=0, text="3 × 4 makes 12", source="starter v1")
    page = visit()
    page.keyboard.press("e")
    page.get_by_role("button", name="Use").click()
    expect(page.locator(".better[open] textarea")).to_have_value("3 × 4 makes 12")
    page.keyboard.press("Escape")
    page.keyboard.type("333", delay=20)
    page.keyboard.press("Enter")
    eventually(page, lambda: labels_of(trace))
    assert labels_of(trace).rewrites == {"0": {"text": "3 × 4 makes 12", "source": "starter v1"}}


def test_alternatives_are_sampled_from_a_model_that_is_served(visit, trace, registered, monkeypatch):
    monkeypatch.setitem(alternatives.SAMPLING, "max_tokens", 12)
    page = visit()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("e")
    page.get_by_role("link", name="Sample alternatives from a model").and_(page.locator(".current a")).click()
    page.get_by_label("Model", exact=True).select_option("small-v1")
    page.get_by_role("button", name="Sample alternatives").click()
    expect(page.locator(".current .alternatives .use").first).to_be_visible(timeout=60_000)
    page.locator(".current .alternatives .use").first.click()
    chosen = page.locator(".current .better textarea").input_value()
    assert Alternative.objects.filter(step=1, text=chosen, source="small v1").exists()


def test_the_page_turns_without_waiting_for_the_server(visit, make_trace):
    first, second = make_trace("One"), make_trace("Two")
    page = visit(grumbles=True)
    eventually(page, lambda: Lease.objects.count() == 2)
    page.wait_for_load_state("networkidle")
    page.context.set_offline(True)
    page.keyboard.type("333", delay=20)
    page.keyboard.press("Enter")
    asks(page, second)
    expect(page.locator(".saved")).to_have_text("1 not sent yet")
    page.context.set_offline(False)
    eventually(page, lambda: labels_of(first))


def test_a_phone_marks_by_tapping_and_nothing_is_wider_than_it(visit, make_trace, proposing):
    trace = make_trace(steps=(*STEPS, "$$" + "x + " * 60 + "y$$", "An-unbroken-word-" * 12))
    propose(trace, [1, -1], [0.97])
    page = visit(viewport={"width": 390, "height": 844}, has_touch=True)
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0
    for step in range(5):
        face = page.locator(".step").nth(step).locator(".faces label.good")
        assert face.bounding_box()["height"] >= 48
        face.tap()
        expect(page.locator(".faces input:checked")).to_have_count(step + 1)
    page.get_by_role("button", name="Submit").tap()
    eventually(page, lambda: labels_of(trace))
    assert labels_of(trace).ratings == [1] * 5


def test_a_plain_form_marks_without_any_script(visit, make_trace):
    first, second = make_trace("One"), make_trace("Two")
    page = visit(java_script_enabled=False, grumbles=True)
    for step, mark in enumerate(("good", "bad")):
        page.get_by_role("group", name=f"Step {step + 1}").get_by_label(mark).check()
    page.get_by_role("button", name="Submit").click()
    expect(page.locator(".step .error")).to_have_text(["Step 3 is not marked."])
    page.get_by_role("group", name="Step 3").get_by_label("neutral").check()
    page.get_by_role("button", name="Submit").click()
    asks(page, second)
    assert labels_of(first).ratings == [1, -1, 0]
    page.get_by_role("button", name="Undo").click()
    asks(page, first)
    expect(page.locator(".faces input:checked")).to_have_count(3)


def test_five_hundred_steps_stay_quick_under_the_keys(visit, make_trace):
    make_trace("Long", steps=[f"Step ${n}$" for n in range(500)])
    page = visit()
    page.keyboard.press("3")
    took = page.evaluate("""() => {
        const begun = performance.now();
        for (let n = 0; n < 20; n++)
            document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key: "3", bubbles: true }));
        return (performance.now() - begun) / 20;
    }""")
    assert took < 300, f"{took:.0f} ms a key"
    page.keyboard.press("m")
    expect(page.locator(".marked")).to_have_text("500 of 500")
    page.keyboard.press("Enter")
    eventually(page, StepLabels.objects.exists)
    assert len(StepLabels.objects.get().ratings) == 500


def test_hostile_text_is_text_and_arabic_runs_from_right_to_left(visit, make_trace, proposing):
    bad = ("<img src=x onerror=\"document.title='ran'\">", "<script>document.title='ran'</script>", "الجواب هو ١٤.")
    trace = make_trace("<svg onload=\"document.title='ran'\">", steps=bad)
    StepLabels.objects.create(prompt=trace, kind="verifier", source="arithmetic", ratings=[1], notes={"0": bad[0]})
    page = visit()
    expect(page.locator(".ask")).to_contain_text("<svg onload")
    page.wait_for_timeout(300)
    assert page.title() != "ran" and not page.locator(".steps script, .steps img").count()
    direction = page.locator(".step").nth(2).locator("p").evaluate("text => getComputedStyle(text).direction")
    assert direction == "rtl"
