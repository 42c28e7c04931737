"""The ranking page over plain HTTP: who may see it, what it shows, and forms without any script."""

import pytest
from django.urls import reverse

from annotation.leases import reserve
from annotation.models import Completion, Draft, Lease, Project, Prompt, Ranking, Skip
from annotation.ranking import submit_ranking
from tests.annotation.test_leases import let_expire, ranks

JSON = {"HTTP_ACCEPT": "application/json"}


@pytest.fixture
def page(client, project, bob):
    client.force_login(bob)
    return reverse("rank", args=[project.slug])


def form(prompt, lease=None, **more):
    lease = lease or Lease.objects.get(prompt=prompt)
    places = {f"rank_{pk}": place for place, pk in enumerate(lease.shown, 1)}
    shown = ",".join(map(str, lease.shown))
    return {"prompt": prompt.pk, "key": lease.key, "shown": shown, "seconds": "3.5"} | places | more


@pytest.mark.parametrize("name", ["rank", "rank_next", "rank_submit", "rank_skip", "rank_undo", "rank_draft"])
def test_an_outsider_finds_nothing(client, project, prompt, carol, name):
    client.force_login(carol)
    url = reverse(name, args=[project.slug])
    assert client.get(url).status_code in (404, 405)
    if name not in ("rank", "rank_next"):
        assert client.post(url, {"prompt": prompt.pk}).status_code == 404
    assert not Lease.objects.exists()


def test_a_prompt_of_another_project_is_not_found(client, page, project, make_prompt, carol):
    theirs = make_prompt("Secret", project=Project.objects.create(name="Theirs"))
    for name in ("rank_submit", "rank_skip", "rank_draft", "rank_undo"):
        for pk in (theirs.pk, "x", "9" * 30, ""):
            if name == "rank_undo" and not pk:
                continue
            assert client.post(reverse(name, args=[project.slug]), {"prompt": pk, "reason": "other"}).status_code == 404
    assert not Draft.objects.exists()


def test_the_page_shows_the_whole_text_of_everything(client, page, make_prompt):
    long = "word " * 5000 + "end"
    make_prompt("A question", completions=[long, "short", "$x^2$ and `code`"])
    html = client.get(page).content.decode()
    assert long in html
    assert '<span class="math' in html
    assert "<code>code</code>" in html


def test_blind_hides_the_source_and_otherwise_a_chip_shows_it(client, page, prompt):
    Completion.objects.update(source="secret-model-7")
    assert "secret-model-7" not in client.get(page).content.decode()
    Project.objects.update(blind=False)
    assert "secret-model-7" in client.get(page).content.decode()


def test_ratings_are_asked_only_where_wanted(client, page, prompt):
    assert "rating_" not in client.get(page).content.decode()
    Project.objects.update(ask_ratings=True)
    assert "rating_" in client.get(page).content.decode()


def test_a_plain_form_submits_and_comes_back(client, page, prompt):
    client.get(page)
    response = client.post(page + "submit/", form(prompt))
    assert (response.status_code, response.url) == (302, page)
    assert Ranking.objects.get().seconds == 3.5


def test_errors_stand_beside_their_fields_and_nothing_is_lost(client, page, prompt):
    client.get(page)
    sent = form(prompt, comment="kept") | {f"rank_{Lease.objects.get().shown[1]}": ""}
    response = client.post(page + "submit/", sent)
    assert response.status_code == 422
    html = response.content.decode()
    assert "B has no rank yet." in html
    assert "kept</textarea>" in html
    assert html.count(" checked") == 2
    again = client.post(page + "submit/", sent, **JSON)
    assert again.json()["errors"] == {f"rank_{Lease.objects.get().shown[1]}": "B has no rank yet."}


@pytest.mark.parametrize(
    ("best", "order", "all_bad"),
    [(0, [1, 2], False), (1, [2, 1], False), ("tie", [1, 1], False), ("none", [1, 1], True)],
)
def test_two_completions_are_decided_by_one_button(client, page, make_prompt, best, order, all_bad):
    prompt = make_prompt(completions=["yes", "no"])
    client.get(page)
    shown = Lease.objects.get().shown
    sent = form(prompt, best=best if isinstance(best, str) else shown[best])
    client.post(page + "submit/", {name: value for name, value in sent.items() if not name.startswith("rank_")})
    ranking = Ranking.objects.get()
    assert [place.rank for place in ranking.ranked.order_by("shown")] == order
    assert ranking.all_bad == all_bad


def test_a_button_for_neither_completion_is_refused(client, page, make_prompt):
    prompt = make_prompt(completions=["yes", "no"])
    client.get(page)
    sent = {"prompt": prompt.pk, "shown": form(prompt)["shown"], "best": "999"}
    assert client.post(page + "submit/", sent, **JSON).status_code == 422
    assert not Ranking.objects.exists()


def test_submitting_twice_gives_one_label(client, page, prompt):
    client.get(page)
    sent = form(prompt)
    first, second = (client.post(page + "submit/", sent, **JSON).json() for _ in range(2))
    assert (first["again"], second["again"]) == (False, True)
    assert first["ranking"] == second["ranking"]


def test_too_late_is_said_plainly(client, page, project, prompt, alice, bob):
    client.get(page)
    sent = form(prompt)
    let_expire()
    lease = reserve(project, alice)
    submit_ranking(prompt, alice, ranks(lease), lease.key)
    assert client.post(page + "submit/", sent, **JSON).status_code == 409
    html = client.post(page + "submit/", sent, follow=True).content.decode()
    assert "Yours is kept as a draft." in html
    assert Draft.objects.filter(labeler=bob).exists()


def test_skip_undo_and_draft_work_as_plain_forms(client, page, make_prompt):
    first, second = make_prompt("First question"), make_prompt("Second question")
    assert "First question" in client.get(page).content.decode()
    skipped = client.post(page + "skip/", form(first, reason="language"), follow=True)
    assert "Second question" in skipped.content.decode()
    undone = client.post(page + "undo/", form(second, comment="later"), follow=True)
    assert "First question" in undone.content.decode()
    assert Draft.objects.get(prompt=second).data["comment"] == "later"
    assert not Skip.objects.exists()
    assert client.post(page + "draft/", form(first, comment="note")).status_code == 204
    assert "note</textarea>" in client.get(page).content.decode()


def test_nothing_to_undo_is_said(client, page, prompt):
    assert client.post(page + "undo/", **JSON).status_code == 409
    assert "Nothing to undo" in client.post(page + "undo/", follow=True).content.decode()


def test_the_next_card_is_another_prompt_and_a_fragment(client, page, make_prompt):
    first, second = make_prompt("First question"), make_prompt("Second question")
    client.get(page)
    html = client.get(page + "next/", {"besides": [first.pk, "x", "²"]}).content.decode()
    assert "Second question" in html
    assert "<html" not in html
    assert set(Lease.objects.values_list("prompt", flat=True)) == {first.pk, second.pk}


def test_a_fragment_asks_the_database_little(client, page, make_prompt, django_assert_max_num_queries):
    first, _second = make_prompt("First question"), make_prompt("Second question")
    client.get(page)
    with django_assert_max_num_queries(16):
        client.get(page + "next/", {"besides": first.pk})
    sent = form(first)
    with django_assert_max_num_queries(20):
        client.post(page + "submit/", sent, **JSON)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda make_prompt: None, "No prompts yet"),
        (
            lambda make_prompt: Prompt.objects.filter(pk=make_prompt(completions=[]).pk).update(open_slots=0),
            "Waiting for completions",
        ),
        (
            lambda make_prompt: Prompt.objects.filter(pk=make_prompt().pk).update(open_slots=0, labels_given=1),
            "Nothing left for you",
        ),
    ],
)
def test_an_empty_page_says_why(client, page, make_prompt, make, says):
    make(make_prompt)
    assert says in client.get(page).content.decode()
    assert says in client.get(page + "next/").content.decode()


def test_a_page_that_waits_for_others_says_until_when(client, page, project, prompt, alice):
    lease = reserve(project, alice)
    html = client.get(page).content.decode()
    assert "The rest is with others" in html
    assert f"{lease.expires:%H:%M}" in html


def looks_again(client, url):
    return f'hx-get="{reverse("rank_next", args=["helpful-answers"])}"' in client.get(url).content.decode()


def test_only_a_page_that_waits_looks_again_by_itself(client, page, make_prompt):
    assert not looks_again(client, page)  # nothing was imported
    make_prompt(completions=[])
    Prompt.objects.update(open_slots=0)
    assert looks_again(client, page)  # completions are missing
    Prompt.objects.update(labels_given=1)
    assert not looks_again(client, page)  # all is done


def test_a_page_that_waits_for_others_looks_again_until_a_prompt_is_free(client, page, project, prompt, alice):
    reserve(project, alice)
    assert looks_again(client, page)
    assert looks_again(client, page + "next/")
    let_expire()
    card = client.get(page + "next/").content.decode()
    assert f'data-prompt="{prompt.pk}"' in card
    assert "hx-trigger" not in card


def test_the_last_page_counts_what_was_done(client, page, prompt):
    client.get(page)
    html = client.post(page + "submit/", form(prompt), follow=True).content.decode()
    assert "Done. Thank you." in html
    assert "label from you" in html


def test_pages_are_not_cached(client, page, prompt):
    assert "no-store" in client.get(page)["Cache-Control"]
    assert "no-store" in client.get(page + "next/")["Cache-Control"]
