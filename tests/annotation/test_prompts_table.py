"""The table of prompts: pages, filters, search that goes on by itself, and what never reaches the query."""

import re

import pytest
from django.urls import reverse

from annotation.models import Criterion, Project, Prompt, Ranking
from annotation.views import filters
from annotation.views import prompts as table


@pytest.fixture
def address(project):
    return reverse("prompts", args=[project.slug])


@pytest.fixture
def small_pages(monkeypatch):
    monkeypatch.setattr(table, "PAGE", 3)
    monkeypatch.setattr(table, "WINDOW", 8)


@pytest.fixture
def twenty(make_prompt, project):
    other = Project.objects.create(name="Between")  # its rows lie between ours
    for n in range(20):
        make_prompt(f"Question {n}", completions=("a", "b"))
        make_prompt(f"Question {n}", completions=(), project=other)
    return list(Prompt.objects.filter(project=project).order_by("pk"))


def listed(client, address, **query) -> list[str]:
    return [row.text for row in client.get(address, query).context["page"].rows]


def test_pages_follow_each_other_both_ways_without_gap_or_repeat(client, alice, address, twenty, small_pages):
    client.force_login(alice)
    seen, page = [], client.get(address).context["page"]
    assert page.before is None
    while True:
        seen += [row.text for row in page.rows]
        if page.after is None:
            break
        page = client.get(address, {"after": page.after}).context["page"]
    assert seen == [prompt.text for prompt in twenty]
    back = []
    while page.before:
        page = client.get(address, {"before": page.before}).context["page"]
        back = [row.text for row in page.rows] + back
    assert back == seen[: len(back)] and len(back) == 18


def test_prompts_of_other_projects_never_show(client, alice, address, twenty):
    client.force_login(alice)
    assert len(listed(client, address)) == 20


def test_search_finds_words_anywhere_in_any_case(client, alice, address, make_prompt):
    make_prompt("Tell me of the KRAKEN, please")
    make_prompt("Ein Lied über Flüsse")
    make_prompt("100% sure_thing")
    client.force_login(alice)
    assert listed(client, address, q="kraken") == ["Tell me of the KRAKEN, please"]
    assert listed(client, address, q="flüsse") == ["Ein Lied über Flüsse"] or listed(client, address, q="Flüsse")
    assert listed(client, address, q="100%") == ["100% sure_thing"] and listed(client, address, q="1_0") == []


def test_a_search_looks_through_one_window_and_goes_on_by_itself(client, alice, address, twenty, small_pages):
    client.force_login(alice)
    page = client.get(address, {"q": "Question 19"})
    assert page.context["page"].rows == [] and page.context["page"].search_on == twenty[7].pk
    assert f"after={twenty[7].pk}&amp;more" in page.content.decode()
    fragments, after = [], twenty[7].pk
    while after:
        answer = client.get(address, {"q": "Question 19", "after": after, "more": ""}, headers={"HX-Request": "true"})
        fragments.append(answer.content.decode())
        on = re.search(r"after=(\d+)&amp;more", fragments[-1])
        after = on and int(on[1])
    assert len(fragments) == 2 and "Question 19" in fragments[-1] and "No more prompts" in fragments[-1]
    assert not any("<html" in fragment for fragment in fragments)


def test_going_back_gets_the_whole_page(client, alice, address, twenty):
    client.force_login(alice)
    headers = {"HX-Request": "true", "HX-History-Restore-Request": "true"}
    assert "<html" in client.get(address, {"q": "Question"}, headers=headers).content.decode()


def test_a_search_backwards_goes_on_too(client, alice, address, twenty, small_pages):
    client.force_login(alice)
    page = client.get(address, {"q": "Question 0", "before": twenty[-1].pk}).context["page"]
    assert page.rows == [] and page.before == twenty[11].pk


def test_states_divide_the_prompts(client, alice, bob, address, make_prompt):
    waiting, fresh, begun, done = (make_prompt(name, wanted=2) for name in ("waiting", "fresh", "begun", "done"))
    Prompt.objects.filter(pk=waiting.pk).update(open_slots=0)
    Prompt.objects.filter(pk=begun.pk).update(labels_given=1, open_slots=1)
    Prompt.objects.filter(pk=done.pk).update(labels_given=2, open_slots=0)
    client.force_login(alice)
    by_state = {state: listed(client, address, state=state) for state in filters.STATES}
    assert by_state == {"waiting": ["waiting"], "open": ["fresh"], "progress": ["begun"], "done": ["done"]}


def test_criterion_origin_and_flags_narrow_the_table(client, alice, bob, project, address, make_prompt):
    honest = Criterion.objects.create(project=project, name="Honest")
    judged, voted = make_prompt("judged", criterion=honest), make_prompt("voted", origin="comparison")
    Ranking.objects.create(prompt=voted, labeler=bob, unsure=True)
    Ranking.objects.create(prompt=judged, labeler=bob)
    client.force_login(alice)
    assert listed(client, address, criterion=honest.pk) == ["judged"]
    assert listed(client, address, origin="comparison") == ["voted"]
    assert listed(client, address, flagged="on") == ["voted"]
    assert listed(client, address, flagged="on", origin="import") == []


def test_a_labeler_cannot_filter_by_what_others_flagged(client, alice, bob, address, make_prompt):
    Ranking.objects.create(prompt=make_prompt("one"), labeler=alice, unsure=True)
    make_prompt("two")
    client.force_login(bob)
    assert len(listed(client, address, flagged="on")) == 2


@pytest.mark.parametrize(
    "query",
    [
        {"project__memberships__user__password__startswith": "x"},
        {"criterion__project__slug": "x"},
        {"state": "nonsense"},
        {"origin": "page' OR 1=1"},
        {"criterion": "999999"},
        {"criterion": "abc"},
        {"after": "-1"},
        {"after": "9" * 40},
        {"before": "x"},
        {"order_by": "labeler__password"},
        {"q": "\x00"},
    ],
)
def test_unknown_fields_and_bad_values_filter_nothing(client, alice, address, make_prompt, query):
    make_prompt()
    client.force_login(alice)
    answer = client.get(address, query)
    assert answer.status_code == 200 and len(answer.context["page"].rows) == 1


def test_filters_stay_in_the_links_to_other_pages(client, alice, address, twenty, small_pages):
    client.force_login(alice)
    html = client.get(address, {"q": "Question", "state": "open", "evil": "<script>"}).content.decode()
    assert "?q=Question&amp;state=open&amp;after=" in html and "evil" not in html and "<script>" not in html


def test_fifty_rows_cost_no_more_queries_than_one(client, alice, address, make_prompt, django_assert_max_num_queries):
    for n in range(55):
        make_prompt(f"Question {n}")
    client.force_login(alice)
    with django_assert_max_num_queries(12):
        client.get(address)


def test_an_empty_project_says_what_to_do(client, alice, address):
    client.force_login(alice)
    html = client.get(address).content.decode()
    assert "No prompts yet" in html and "Import prompts" in html
    assert "Nothing matches" in client.get(address, {"q": "x"}).content.decode()


def test_hostile_prompts_are_shown_as_text(client, alice, address, make_prompt):
    make_prompt("<script>alert(1)</script><img src=x onerror=alert(1)>")
    client.force_login(alice)
    html = client.get(address).content.decode()
    assert "<script>alert" not in html and "&lt;script&gt;alert(1)" in html
