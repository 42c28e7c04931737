"""What a labeler sends is checked, stored once, can be undone, and is never lost."""

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from annotation import leases
from annotation.leases import reserve
from annotation.models import Draft, Lease, Membership, Prompt, Ranking, Skip, Tally
from annotation.progress import progress, standstill
from annotation.ranking import next_prompt, save_draft, submit_ranking
from annotation.ranks import Invalid, checked, dense
from annotation.slots import TooLate, skip
from annotation.undo import UNDOS, undo
from tests.annotation.test_leases import let_expire, ranks, unbalanced


def stored(ranking):
    return {place.completion.text: place.rank for place in ranking.ranked.all()}


def refusal(said, shown=(7, 8, 9), **options):
    with pytest.raises(Invalid) as caught:
        checked(said, shown, **options)
    return caught.value.errors


def test_every_completion_needs_a_rank():
    assert refusal({"ranks": {7: 1, 9: 2}}) == {"rank_8": "B has no rank yet."}


@pytest.mark.parametrize("rank", [0, 4, -1, 1.5, True, "first", "1e9", None, "9" * 5000, "²"])
def test_a_rank_is_a_whole_number_up_to_the_count(rank):
    assert refusal({"ranks": {7: rank, 8: 1, 9: 2}}) == {"rank_7": "The rank of A is a whole number from 1 to 3."}


@pytest.mark.parametrize("key", [10, "x", "7; drop", "9" * 400])
def test_a_completion_of_another_prompt_is_refused(key):
    assert "does not belong to this prompt" in refusal({"ranks": {7: 1, 8: 2, 9: 3, key: 1}})[f"rank_{key}"]


@pytest.mark.parametrize("ranks", [[1, 2, 3], "123", 5])
def test_ranks_of_the_wrong_shape_are_refused(ranks):
    assert refusal({"ranks": ranks}) == {"ranks": "ranks is an object: completion id → number."}


def test_a_rating_is_one_to_seven_and_optional():
    said = {"ranks": {7: 1, 8: 2, 9: 3}}
    assert checked(said | {"ratings": {7: "7"}}, [7, 8, 9])["ratings"] == {7: 7}
    for wrong in (8, "0000019", "0" * 5000 + "7"):
        assert "rating_7" in refusal(said | {"ratings": {7: wrong}}), wrong


def test_a_tie_needs_a_project_that_allows_it():
    said = {"ranks": {7: 1, 8: 1, 9: 2}}
    assert checked(said, [7, 8, 9])["ranks"] == {7: 1, 8: 1, 9: 2}
    assert "no ties" in refusal(said, allow_ties=False)["rank_8"]
    assert checked(said | {"all_bad": True}, [7, 8, 9], allow_ties=False)["all_bad"]


@pytest.mark.parametrize("flag", ["all_bad", "bad_prompt"])
def test_what_cannot_be_ranked_is_all_tied(flag):
    clean = checked({flag: True, "ranks": {7: 2}}, [7, 8, 9], allow_ties=False)
    assert clean["ranks"] == {7: 1, 8: 1, 9: 1}
    assert clean[flag]


@given(st.dictionaries(st.integers(1, 50), st.integers(1, 12), min_size=1))
def test_dense_ranks_keep_the_order_and_leave_no_gap(ranks):
    result = dense(ranks)
    assert sorted(set(result.values())) == list(range(1, len(set(ranks.values())) + 1))
    assert all((ranks[a] < ranks[b]) == (result[a] < result[b]) for a in ranks for b in ranks)


@given(st.dictionaries(st.sampled_from([7, 8, 9, "7", "x", ""]), st.one_of(st.integers(), st.text(), st.none())))
def test_nothing_sent_crashes_the_check(ranks):
    try:
        assert set(checked({"ranks": ranks}, [7, 8, 9])["ranks"]) == {7, 8, 9}
    except Invalid as invalid:
        assert invalid.errors


@pytest.mark.parametrize(
    ("sent", "kept"), [("12.5", 12.5), ("-3", 0), ("nan", 0), ("inf", 0), ("x", 0), (10**9, 86400)]
)
def test_seconds_stay_sane(sent, kept):
    assert checked({"ranks": {7: 1, 8: 2, 9: 3}, "seconds": sent}, [7, 8, 9])["seconds"] == kept


def test_a_label_is_stored_with_the_order_it_was_shown_in(project, prompt, bob):
    lease = reserve(project, bob)
    Lease.objects.update(shown=lease.shown[::-1])
    said = ranks(lease) | {"comment": " why\0 ", "seconds": 4.5, "unsure": True, "ratings": {lease.shown[0]: 6}}
    ranking = submit_ranking(prompt, bob, said, lease.key).ranking
    assert [place.completion_id for place in ranking.ranked.order_by("rank")] == lease.shown
    assert [place.shown for place in ranking.ranked.order_by("rank")] == [3, 2, 1]
    assert (ranking.comment, ranking.seconds, ranking.unsure) == ("why", 4.5, True)
    assert ranking.ranked.get(rating=6).completion_id == lease.shown[0]
    assert Prompt.objects.get().labels_given == 1
    assert Tally.objects.get(labeler=bob).labels == 1


def test_a_second_submit_with_the_same_key_returns_the_first(project, prompt, bob):
    lease = reserve(project, bob)
    first = submit_ranking(prompt, bob, ranks(lease), lease.key)
    other = {"ranks": dict.fromkeys(lease.shown, 1)}
    second = submit_ranking(prompt, bob, other, str(lease.key))
    assert (first.again, second.again) == (False, True)
    assert second.ranking == first.ranking
    assert len(set(stored(second.ranking).values())) == 3
    assert Tally.objects.get().labels == 1


def test_the_key_of_another_person_gives_nothing_away(project, make_prompt, alice, bob):
    prompt = make_prompt(wanted=2)
    lease = reserve(project, bob)
    theirs = submit_ranking(prompt, bob, ranks(lease), lease.key).ranking
    with pytest.raises(TooLate):
        submit_ranking(prompt, alice, ranks(reserve(project, alice)), theirs.key)
    assert not unbalanced()


def test_a_key_that_is_no_uuid_is_refused(project, prompt, bob):
    with pytest.raises(Invalid, match="not a UUID"):
        submit_ranking(prompt, bob, ranks(reserve(project, bob)), "key")


def test_an_expired_lease_is_taken_again_silently_while_a_slot_is_open(project, prompt, bob):
    lease = reserve(project, bob)
    let_expire()
    leases.expire()
    assert not submit_ranking(prompt, bob, ranks(lease), lease.key).again
    assert not unbalanced()


def test_who_comes_too_late_keeps_a_draft_and_is_told(project, prompt, alice, bob):
    lease = reserve(project, bob)
    let_expire()
    faster = reserve(project, alice)
    submit_ranking(prompt, alice, ranks(faster), faster.key)
    with pytest.raises(TooLate, match="kept as a draft"):
        submit_ranking(prompt, bob, ranks(lease) | {"comment": "mine"}, lease.key)
    assert Draft.objects.get(labeler=bob).data["comment"] == "mine"
    assert not unbalanced()


def test_the_next_prompt_is_plain_data_and_blind_hides_the_source(project, prompt, bob):
    task = next_prompt(project, bob)
    assert task["prompt"]["messages"] == prompt.messages
    assert [completion["letter"] for completion in task["completions"]] == ["A", "B", "C"]
    assert not any("source" in completion for completion in task["completions"])
    project.blind = False
    assert {completion["source"] for completion in next_prompt(project, bob)["completions"]} == {"model"}


def test_a_draft_comes_back_with_its_prompt(project, prompt, bob):
    lease = reserve(project, bob)
    save_draft(prompt, bob, {"ranks": {lease.shown[0]: 2, "x": 1}, "comment": "so far", "seconds": 9})
    draft = next_prompt(project, bob)["draft"]
    assert draft["ranks"] == {str(lease.shown[0]): 2}
    assert (draft["comment"], draft["seconds"]) == ("so far", 9)


def test_a_skipped_prompt_goes_to_others_and_never_comes_back(project, prompt, alice, bob):
    reserve(project, bob)
    skip(prompt, bob, "too_hard", "What is a palindrome?")
    skip(prompt, bob, "too_hard")
    assert Skip.objects.get().comment == "What is a palindrome?"
    assert Tally.objects.get().skips == 1
    assert reserve(project, bob) is None
    assert reserve(project, alice).prompt == prompt


def test_a_skip_needs_a_known_reason(project, prompt, bob):
    with pytest.raises(Invalid, match="too_hard"):
        skip(prompt, bob, "lazy")


def test_undo_keeps_the_slot_and_brings_the_content_back(project, prompt, alice, bob):
    lease = reserve(project, bob)
    said = ranks(lease) | {"comment": "because", "ratings": {lease.shown[0]: 5}, "seconds": 3}
    submit_ranking(prompt, bob, said, lease.key)
    assert undo(project, bob).prompt == prompt
    assert reserve(project, alice) is None, "the slot stays hers"
    task = next_prompt(project, bob)
    assert [c["id"] for c in task["completions"]] == lease.shown
    assert task["draft"]["ranks"] == {str(pk): place for place, pk in enumerate(lease.shown, 1)}
    assert (task["draft"]["comment"], task["draft"]["ratings"]) == ("because", {str(lease.shown[0]): 5})
    assert Tally.objects.get().labels == 0
    assert not unbalanced()


def test_an_undone_decision_comes_before_what_was_on_the_page(project, make_prompt, bob):
    first, second = make_prompt("One"), make_prompt("Two")
    lease = reserve(project, bob)
    reserve(project, bob, besides=[first.pk])
    submit_ranking(first, bob, ranks(lease), lease.key)
    undo(project, bob)
    assert reserve(project, bob).prompt == first
    assert reserve(project, bob, besides=[first.pk]).prompt == second


def test_ten_decisions_can_be_open_again_and_no_more(project, make_prompt, bob):
    prompts = [make_prompt(f"Question {n}") for n in range(13)]
    for _ in prompts:
        lease = reserve(project, bob)
        submit_ranking(lease.prompt, bob, ranks(lease), lease.key)
    undone = [undo(project, bob) for _ in range(UNDOS)]
    assert [decision.prompt for decision in undone] == prompts[: -UNDOS - 1 : -1]
    reserve(project, bob)
    assert Lease.objects.count() == UNDOS
    assert not unbalanced()


def test_a_skip_is_undone_only_while_a_slot_is_open(project, prompt, alice, bob):
    reserve(project, bob)
    skip(prompt, bob, "other")
    lease = reserve(project, alice)
    assert undo(project, bob) is None, "alice holds it"
    leases.release(lease.prompt, alice)
    assert undo(project, bob).prompt == prompt
    assert not unbalanced()


def test_a_prompt_labeled_in_one_tab_is_not_skipped_in_another(project, prompt, bob):
    lease = reserve(project, bob)
    submit_ranking(prompt, bob, ranks(lease), lease.key)
    assert skip(prompt, bob, "other") is None
    assert undo(project, bob).prompt == prompt
    assert undo(project, bob) is None
    assert not unbalanced()


def test_a_label_takes_the_place_of_the_skip_of_another_tab(project, prompt, bob):
    lease = reserve(project, bob)
    skip(prompt, bob, "other")
    submit_ranking(prompt, bob, ranks(lease), lease.key)
    assert not Skip.objects.exists()
    assert Tally.objects.get().skips == 0
    assert isinstance(undo(project, bob), Ranking)
    assert undo(project, bob) is None
    assert not unbalanced()


def test_nobody_undoes_the_decisions_of_others(project, prompt, alice, bob):
    lease = reserve(project, bob)
    submit_ranking(prompt, bob, ranks(lease), lease.key)
    assert undo(project, alice) is None
    assert Ranking.objects.exists()


def test_an_undo_is_counted_on_the_day_of_the_decision(project, prompt, bob):
    lease = reserve(project, bob)
    submit_ranking(prompt, bob, ranks(lease), lease.key)
    yesterday = timezone.localdate() - timedelta(days=1)
    Ranking.objects.update(created=timezone.now() - timedelta(days=1))
    Tally.objects.update(day=yesterday)
    undo(project, bob)
    assert Tally.objects.get(day=yesterday).labels == 0


def test_progress_counts_the_project_and_today(project, make_prompt, alice, bob):
    for n in range(4):
        make_prompt(f"Question {n}")
    project.refresh_from_db()
    for labeler in (alice, bob, bob):
        lease = reserve(project, labeler)
        submit_ranking(lease.prompt, labeler, ranks(lease), lease.key)
    Tally.objects.create(project=project, labeler=bob, day=timezone.localdate() - timedelta(days=3), labels=5)
    counts = progress(project, bob)
    assert (counts["done"], counts["wanted"], counts["today"], counts["mine"]) == (8, 4, 2, 7)


def test_why_there_is_nothing_to_rank(project, make_prompt, alice, bob):
    assert standstill(project, bob)["why"] == "empty"
    make_prompt("Waits", completions=[], wanted=1)
    Prompt.objects.update(open_slots=0)
    assert standstill(project, bob) == {"why": "waiting", "count": 1}
    prompt = make_prompt("Served")
    lease = reserve(project, alice)
    assert standstill(project, bob)["why"] == "leased"
    submit_ranking(prompt, alice, ranks(lease), lease.key)
    Prompt.objects.filter(text="Waits").delete()
    assert standstill(project, bob)["why"] == "done"


def test_a_key_is_made_for_callers_that_have_none(project, prompt, bob):
    reserve(project, bob)
    ranking = submit_ranking(prompt, bob, ranks(Lease.objects.get())).ranking
    assert isinstance(ranking.key, uuid.UUID)


def test_what_came_in_as_a_file_is_not_undone(project, prompt, bob):
    lease = reserve(project, bob)
    submit_ranking(prompt, bob, ranks(lease), lease.key, source="comparison")
    assert undo(project, bob) is None


def test_many_labels_are_wanted_from_different_people_in_the_same_order(project, make_prompt, alice, bob, carol):
    Membership.objects.create(project=project, user=carol)
    prompts = [make_prompt(f"Question {n}", wanted=3) for n in range(3)]
    for prompt in prompts:
        for labeler in (alice, bob, carol):
            lease = reserve(project, labeler)
            assert lease.prompt == prompt
            submit_ranking(prompt, labeler, ranks(lease), lease.key)
    assert list(Prompt.objects.values_list("labels_given", "open_slots")) == [(3, 0)] * 3
