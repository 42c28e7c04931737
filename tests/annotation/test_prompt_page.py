"""One prompt with all that was said of it, and taking a ranking back."""

import pytest
from django.urls import reverse
from django.utils import timezone

from annotation.counters import delete_label
from annotation.models import Project, Prompt, RankedCompletion, Ranking, Tally


@pytest.fixture
def ranking(prompt, bob, project):
    row = Ranking.objects.create(prompt=prompt, labeler=bob, seconds=12, comment="B is made up.", unsure=True)
    for place, (completion, shown) in enumerate(zip(prompt.completions.all(), (2, 3, 1), strict=True), 1):
        RankedCompletion.objects.create(ranking=row, completion=completion, rank=min(place, 2), shown=shown)
    Prompt.objects.filter(pk=prompt.pk).update(labels_given=1, open_slots=0)
    Tally.objects.create(project=project, labeler=bob, day=timezone.localdate(), labels=3, seconds=40)
    return row


@pytest.fixture
def address(project, prompt):
    return reverse("prompt", args=[project.slug, prompt.pk])


def test_a_reviewer_sees_every_ranking_with_its_order_and_remarks(client, alice, address, ranking):
    client.force_login(alice)
    answer = client.get(address)
    html = answer.content.decode()
    assert f'id="ranking-{ranking.pk}"' in html and "B is made up." in html and "unsure" in html
    shown = answer.context["rankings"][0]
    assert [(rank, [row.letter for row in rows]) for rank, rows in shown.places] == [(1, ["A"]), (2, ["B", "C"])]
    assert "saw C A B" in html


def test_a_labeler_sees_neither_sources_nor_other_peoples_rankings(client, alice, bob, address, prompt, ranking):
    Ranking.objects.create(prompt=prompt, labeler=alice, comment="Mine alone.")
    prompt.completions.update(source="secret-model")
    client.force_login(bob)
    html = client.get(address).content.decode()
    assert "B is made up." in html and "Mine alone." not in html and "secret-model" not in html
    client.force_login(alice)
    assert "secret-model" in client.get(address).content.decode()


def test_deleting_a_ranking_opens_its_place_and_corrects_the_counts(client, alice, prompt, bob, address, ranking):
    client.force_login(alice)
    client.post(address, {"delete": ranking.pk})
    prompt.refresh_from_db()
    assert (prompt.labels_given, prompt.open_slots, prompt.labels_wanted) == (0, 1, 1)
    tally = Tally.objects.get(labeler=bob)
    assert (tally.labels, tally.seconds) == (2, 28) and not Ranking.objects.exists()


def test_deleting_twice_counts_once(prompt, ranking):
    again = Ranking.objects.get(pk=ranking.pk)
    delete_label(ranking)
    delete_label(again)
    prompt.refresh_from_db()
    assert (prompt.labels_given, prompt.open_slots) == (0, 1)


def test_a_label_beyond_those_wanted_leaves_no_place_behind(prompt, ranking, alice):
    """The project once wanted two and now wants one: the second label was kept, its place is not offered again."""
    second = Ranking.objects.create(prompt=prompt, labeler=alice)
    Prompt.objects.filter(pk=prompt.pk).update(labels_wanted=2, labels_given=2)
    delete_label(second)
    prompt.refresh_from_db()
    assert (prompt.labels_wanted, prompt.labels_given, prompt.open_slots) == (1, 1, 0)


def test_a_deleted_vote_asks_nobody_else(prompt, ranking):
    Prompt.objects.filter(pk=prompt.pk).update(origin="comparison")
    delete_label(ranking)
    prompt.refresh_from_db()
    assert (prompt.labels_given, prompt.open_slots) == (0, 0)


def test_an_imported_ranking_is_shown_and_can_go(client, alice, prompt, project, address):
    imported = Ranking.objects.create(prompt=prompt, labeler=None, source="import")
    Prompt.objects.filter(pk=prompt.pk).update(labels_given=1, open_slots=0)
    Tally.objects.create(project=project, labeler=None, day=timezone.localdate(), labels=1)
    client.force_login(alice)
    assert "Imported file" in client.get(address).content.decode()
    client.post(address, {"delete": imported.pk})
    assert Tally.objects.get(labeler=None).labels == 0


def test_a_labeler_cannot_delete_even_her_own(client, bob, address, ranking):
    client.force_login(bob)
    answer = client.post(address, {"delete": ranking.pk})
    assert answer.status_code == 403 and "yours is labeler" in answer.content.decode()
    assert Ranking.objects.filter(pk=ranking.pk).exists()


def test_rankings_of_other_prompts_are_out_of_reach(client, alice, address, make_prompt, bob, ranking):
    elsewhere = Ranking.objects.create(prompt=make_prompt("elsewhere"), labeler=bob)
    client.force_login(alice)
    for pk in (elsewhere.pk, "", "x", "-1"):
        assert client.post(address, {"delete": pk}).status_code == 404
    assert Ranking.objects.filter(pk=elsewhere.pk).exists()


def test_a_prompt_under_another_projects_address_is_not_there(client, alice, carol, prompt):
    from annotation.models import Membership

    other = Project.objects.create(name="Other")
    Membership.objects.create(project=other, user=carol, role="manager")
    client.force_login(carol)
    assert client.get(reverse("prompt", args=[other.slug, prompt.pk])).status_code == 404


def test_everything_people_and_models_wrote_is_safe(client, alice, bob, make_prompt, project):
    evil = '<script>alert(1)</script><img src=x onerror="alert(1)">'
    prompt = make_prompt(evil, completions=(evil, "[x](javascript:alert(1))"), reference=evil, metadata={evil: evil})
    prompt.completions.update(source=evil)
    Ranking.objects.create(prompt=prompt, labeler=bob, comment=evil)
    prompt.skips.create(labeler=alice, reason="other", comment=evil)
    Prompt.objects.filter(pk=prompt.pk).update(messages=[{"role": '"><script>', "content": evil}])
    client.force_login(alice)
    html = client.get(reverse("prompt", args=[project.slug, prompt.pk])).content.decode()
    main = html[html.index("<main") :]
    assert "<script" not in main and "<img" not in main and 'href="javascript' not in main


def test_a_prompt_with_many_rankings_costs_few_queries(client, alice, prompt, address, django_assert_max_num_queries):
    from django.contrib.auth import get_user_model

    for n in range(12):
        row = Ranking.objects.create(prompt=prompt, labeler=get_user_model().objects.create_user(f"labeler{n}"))
        for place, completion in enumerate(prompt.completions.all(), 1):
            RankedCompletion.objects.create(ranking=row, completion=completion, rank=place, shown=place)
    client.force_login(alice)
    with django_assert_max_num_queries(12):
        client.get(address)
