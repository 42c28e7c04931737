"""What machines say of steps, in a real browser: a model scores a trace, a labeling is estimated, sources compared."""

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from annotation.models import StepLabels

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_a_model_scores_a_trace_step_by_step(open_page, registered, bob):
    page = open_page(bob, registered["steps"].get_absolute_url())
    page.get_by_label("Problem").fill("What is 3 × 4 + 5?")
    page.get_by_label("Solution").fill("3 × 4 = 12\n12 + 5 = 18")
    page.get_by_role("button", name="Score its steps").click()
    expect(page.locator("#trial .trace li")).to_have_count(2)
    expect(page.locator("#trial [aria-live]")).to_contain_text("right")


@pytest.mark.parametrize("kind", ["monte-carlo", "verifier", "model", "consensus"])
def test_the_form_of_a_labeling_says_what_it_will_ask_for(open_page, traces, make_trace, registered, alice, kind):
    trace = make_trace()
    for source in ("arithmetic", "units"):
        StepLabels.objects.create(prompt=trace, kind="verifier", source=source, ratings=[1, -1])
    page = open_page(alice, reverse("step_labels", args=[traces.slug]) + f"?kind={kind}")
    expect(page.get_by_role("button", name="Label the steps")).to_be_visible()
    page.wait_for_load_state("networkidle")


def test_sources_are_compared_with_people_and_with_each_other(open_page, traces, make_trace, alice, bob):
    for n in range(5):
        trace = make_trace(f"Problem {n}")
        StepLabels.objects.create(prompt=trace, labeler=bob, ratings=[1, -1 if n else 1, 1])
        for source in ("arithmetic", "units"):
            said = {"ratings": [1, -1, 1], "scores": [0.9, 0.1, 0.6]}
            StepLabels.objects.create(prompt=trace, kind="verifier", source=source, **said)
    page = open_page(alice, reverse("step_sources", args=[traces.slug]))
    expect(page.locator(".reliability")).to_have_count(2)
    for box in page.locator("#consensus input[type=checkbox]").all():
        box.check()
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#consensus .together")).to_contain_text("where all agree")
