"""The quick turns of the ranking page do what the slow ones do, and leave everything unusual to them."""

import pytest

from annotation import desk, leases
from annotation.leases import deadline, reserve
from annotation.models import Draft, Lease, Membership, RankedCompletion, Ranking
from annotation.ranking import next_prompt, submit_held, submit_ranking
from annotation.ranks import checked, key_of
from annotation.undo import undo

pytestmark = pytest.mark.django_db


def ahead(project, user, besides):
    return desk.hand_out(project, user, besides, leases.AHEAD - 1, deadline())


def ranks(lease, **more):
    return {"ranks": {pk: place for place, pk in enumerate(lease.shown, 1)}, **more}


def test_the_prompt_after_the_one_held_is_leased_with_all_the_page_shows(project, make_prompt, bob):
    first, second = make_prompt("One"), make_prompt("Two", wanted=2)
    Draft.objects.create(prompt=second, labeler=bob, data={"comment": "begun"})
    leases.hold(project, first, bob, list(first.completions.all()))
    handed = ahead(project, bob, [first.pk])
    assert (handed.prompt, handed.messages, handed.draft) == (second.pk, second.messages, {"comment": "begun"})
    lease = Lease.objects.get(prompt=second)
    assert [pk for pk, _, _ in handed.texts] == lease.shown
    assert {text for _, text, _ in handed.texts} == set(second.completions.values_list("text", flat=True))
    assert (str(lease.key), lease.labeler) == (handed.key, bob)
    second.refresh_from_db()
    assert second.open_slots == 1


def test_a_blind_project_shuffles_and_an_open_one_does_not(project, make_prompt, bob):
    for blind in (True, False):
        project.blind = blind
        orders = set()
        for n in range(12):
            held = make_prompt(f"{blind} {n}", completions=("a", "b", "c", "d"))
            lease = leases.hold(project, held, bob, list(held.completions.all()))
            after = make_prompt(f"{blind} {n} after", completions=("a", "b", "c", "d"))
            handed = ahead(project, bob, [lease.prompt_id])
            assert handed.prompt == after.pk
            orders.add(tuple(text for _, text, _ in handed.texts))
            Lease.objects.all().delete()
            Membership.objects.filter(user=bob).update(cursor=after.pk)
        assert (len(orders) > 1) is blind


def test_it_gives_up_where_something_is_unusual(project, make_prompt, bob):
    prompts = [make_prompt(f"Question {n}") for n in range(4)]
    assert ahead(project, bob, []) is None, "nothing is held: a draft may come first"
    first = reserve(project, bob)
    assert ahead(project, bob, [prompts[3].pk]) is None, "she holds another one"
    assert ahead(project, bob, [first.prompt_id])
    assert ahead(project, bob, [first.prompt_id, prompts[1].pk]) is None, "she holds enough"
    assert Lease.objects.count() == 2
    Lease.objects.all().delete()
    lone = make_prompt("Waits for completions", completions=("only one",))
    Membership.objects.filter(user=bob).update(cursor=prompts[3].pk)
    held = leases.hold(project, prompts[0], bob, list(prompts[0].completions.all()))
    assert ahead(project, bob, [held.prompt_id]) is None, f"{lone} cannot be ranked; the rest is before the cursor"
    assert next_prompt(project, bob, [held.prompt_id])["prompt"]["id"] == prompts[2].pk


def test_a_ranking_taken_quickly_equals_one_taken_slowly(project, make_prompt, alice, bob):
    prompt = make_prompt("Question", completions=("Yes.", "No."), wanted=2)
    for person in (alice, bob):
        lease = reserve(project, person)
        ids = sorted(lease.shown)
        said = {"ranks": {ids[0]: 1, ids[1]: 1}, "ratings": {ids[0]: 7}, "comment": " so so ", "seconds": 4.5}
        said |= {"unsure": True}
        if person == alice:
            submit_ranking(lease.prompt, person, said, lease.key)
        else:
            assert submit_held(prompt.pk, project.slug, person, said, str(lease.key))
    columns = ("seconds", "comment", "all_bad", "unsure", "bad_prompt", "source")
    slow, quick = Ranking.objects.order_by("pk").values(*columns)
    assert slow == quick
    places = RankedCompletion.objects.order_by("ranking", "completion").values_list("completion", "rank", "rating")
    assert list(places[:2]) == list(places[2:])
    prompt.refresh_from_db()
    assert (prompt.labels_given, prompt.open_slots, Lease.objects.count()) == (2, 0, 0)
    tallies = project.tallies.order_by("labeler").values_list("labels", "seconds", "skips", "votes")
    assert list(tallies) == [(1, 4.5, 0, 0)] * 2


def test_the_second_submit_and_a_foreign_one_are_left_to_the_slow_way(project, prompt, bob, carol):
    lease = reserve(project, bob)
    said = prompt.pk, project.slug
    assert submit_held(*said, carol, ranks(lease), lease.key) is None
    assert submit_held(prompt.pk, "another", bob, ranks(lease), lease.key) is None
    assert submit_held(*said, bob, {"ranks": {}}, lease.key) is None, "says nothing"
    assert submit_held(*said, bob, ranks(lease), "no key") is None
    assert submit_held(*said, bob, ranks(lease), lease.key)
    assert submit_held(*said, bob, ranks(lease), lease.key) is None
    assert submit_ranking(prompt, bob, ranks(lease), lease.key).again


@pytest.mark.django_db(transaction=True)
def test_a_key_used_elsewhere_changes_nothing(project, make_prompt, bob):
    make_prompt("One"), make_prompt("Two")
    first = reserve(project, bob)
    second = reserve(project, bob, [first.prompt_id])
    assert submit_held(first.prompt_id, project.slug, bob, ranks(first), first.key)
    clean = checked(ranks(second), second.shown)
    assert desk.take(project.pk, second.prompt_id, bob, clean, second.shown, key_of(first.key)) is None
    assert Lease.objects.get().prompt_id == second.prompt_id
    assert project.tallies.get().labels == 1
    assert Ranking.objects.count() == 1


def test_what_was_taken_quickly_can_be_undone(project, prompt, bob):
    lease = reserve(project, bob)
    submit_held(prompt.pk, project.slug, bob, ranks(lease, comment="hm"), lease.key)
    assert undo(project, bob)
    assert next_prompt(project, bob)["draft"]["comment"] == "hm"
    assert project.tallies.get().labels == 0
