"""Projects, the list and the page: what each role sees, and what it costs."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from annotation import overview
from annotation.models import Membership, Project, RankedCompletion, Ranking, Tally


@pytest.fixture
def page(project):
    return reverse("project", args=[project.slug])


@pytest.fixture
def ranked(project, make_prompt, alice, bob):
    """Six prompts both ranked, the same way but for one, over two days."""
    today = timezone.localdate()
    for n in range(6):
        prompt = make_prompt(f"Question {n}", wanted=2, labels_given=0)
        completions = list(prompt.completions.all())
        for labeler in (alice, bob):
            ranking = Ranking.objects.create(prompt=prompt, labeler=labeler, seconds=10 + n)
            order = completions[::-1] if n == 5 and labeler is bob else completions
            for place, completion in enumerate(order, 1):
                RankedCompletion.objects.create(ranking=ranking, completion=completion, rank=place, shown=place)
        type(prompt).objects.filter(pk=prompt.pk).update(labels_given=2, open_slots=0)
    for labeler in (alice, bob):
        Tally.objects.create(project=project, labeler=labeler, day=today, labels=4, seconds=50)
        Tally.objects.create(project=project, labeler=labeler, day=today - timedelta(days=1), labels=2, seconds=25)
    Project.objects.filter(pk=project.pk).update(prompt_count=8, labels_wanted=2)
    project.refresh_from_db()
    return project


def test_the_list_shows_only_my_projects(client, alice, carol, project):
    client.force_login(alice)
    assert project.name in client.get(reverse("projects")).content.decode()
    client.force_login(carol)
    listed = client.get(reverse("projects")).content.decode()
    assert project.name not in listed and "You are on no project yet" in listed and "carol" in listed


def test_the_list_costs_the_same_for_one_project_and_for_ten(client, alice, project, django_assert_max_num_queries):
    for n in range(10):
        Membership.objects.create(project=Project.objects.create(name=f"Project {n}"), user=alice, role="manager")
    client.force_login(alice)
    with django_assert_max_num_queries(10):
        client.get(reverse("projects"))


def test_progress_and_pace_come_from_tallies(ranked):
    done = overview.progress_of([ranked])[ranked.pk]
    assert (done.given, done.wanted, done.left, done.today) == (12, 16, 4, 8)
    assert done.pace == 12 and done.days_left == 1  # a project made today: its labels count as today's pace


def test_a_project_without_labels_promises_no_date(project):
    done = overview.progress_of([project])[project.pk]
    assert done.days_left is None and done.given == 0 and not done.done


def test_the_days_are_thirty_with_and_without_labels(ranked):
    days = overview.days(ranked)
    assert len(days) == 30 and [labels for _, labels in days[-3:]] == [0, 4, 8]


def test_a_manager_sees_agreement_in_words_and_numbers(client, alice, ranked, page):
    client.force_login(alice)
    html = client.get(page + "?agreement").content.decode()
    assert "labelers say the same <strong>83 %</strong>" in html  # five of six prompts, three pairs each
    assert "From 6 prompts" in html and "bootstrap" in html
    assert html.count('<td class="num">83 %</td>') == 2  # each of the two agrees with the other as often


def test_the_page_loads_agreement_by_itself_as_a_fragment(client, alice, ranked, page):
    client.force_login(alice)
    assert f'hx-get="{page}?agreement"' in client.get(page).content.decode()
    fragment = client.get(page + "?agreement", headers={"HX-Request": "true"}).content.decode()
    assert fragment.strip().startswith('<section id="agreement"') and "<html" not in fragment


def test_a_labeler_sees_progress_and_her_own_labels_only(client, bob, ranked, page):
    client.force_login(bob)
    for address in (page, page + "?agreement"):
        html = client.get(address).content.decode()
        assert "12 of 16 labels" in html and "6 by you" in html
        assert (
            "Agreement" not in html
            and "alice" not in html
            and reverse("project_settings", args=[ranked.slug]) not in html
        )


def test_one_label_a_prompt_explains_why_agreement_is_unknown(client, alice, project, page):
    client.force_login(alice)
    assert "wants one label a prompt" in client.get(page + "?agreement").content.decode()


@pytest.mark.parametrize(
    ("situation", "says"),
    [("empty", "First, prompts."), ("waiting", "cannot be ranked yet"), ("unlabeled", "Ready for its first labels")],
)
def test_a_manager_is_told_what_to_do_next(client, alice, project, page, make_prompt, situation, says):
    if situation == "waiting":
        prompt = make_prompt(completions=())
        type(prompt).objects.update(open_slots=0)
    elif situation == "unlabeled":
        make_prompt()
    client.force_login(alice)
    assert says in client.get(page).content.decode()


def test_a_finished_project_is_told_to_freeze(client, alice, ranked, page):
    Project.objects.update(prompt_count=6)
    client.force_login(alice)
    assert "Every label wanted is given" in client.get(page).content.decode()


def test_the_chart_has_a_table_and_no_inline_style(client, alice, ranked, page):
    client.force_login(alice)
    html = client.get(page).content.decode()
    assert "<svg" in html and "As a table" in html and "style=" not in html


def test_the_page_asks_the_database_at_most_fifteen_things(client, alice, ranked, page, django_assert_max_num_queries):
    client.force_login(alice)
    with django_assert_max_num_queries(15):
        client.get(page)
    with django_assert_max_num_queries(15):
        client.get(page + "?agreement", headers={"HX-Request": "true"})


def test_the_sample_is_bounded_and_prefers_prompts_with_most_labels(ranked, make_prompt):
    taken = overview.sample(ranked, limit=3)
    assert len(taken.labels) == 3 and taken.sources.total() == 6
    assert all(len(by) == 2 for by in taken.labels.values())


def test_rankings_that_only_say_all_bad_do_not_count_as_agreement(ranked):
    Ranking.objects.update(all_bad=True)
    assert not overview.sample(ranked).labels


def test_what_waits_for_me_leaves_out_what_i_ranked_or_passed_on(project, make_prompt, bob):
    prompts = [make_prompt(f"Question {n}", wanted=2) for n in range(4)]
    Ranking.objects.create(prompt=prompts[0], labeler=bob)
    prompts[1].skips.create(labeler=bob, reason="other")
    assert overview.waiting_for(project, bob) == 2
    assert overview.waiting_for(project, bob, cursor=prompts[2].pk) == 2
