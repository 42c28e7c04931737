"""Labels of steps are taken once, counted exactly, drafted and undone; what machines proposed is told apart."""

from datetime import timedelta

import pytest
from django.utils import timezone

from annotation import desk, leases
from annotation.counters import delete_label, want_labels
from annotation.leases import deadline, reserve
from annotation.models import Alternative, Draft, Lease, Membership, Prompt, Skip, StepLabels
from annotation.ranks import Invalid
from annotation.slots import TooLate, skip
from annotation.steps.labeling import next_trace, save_draft, submit_held, submit_steps
from annotation.undo import undo
from tests.annotation.test_leases import unbalanced

pytestmark = pytest.mark.django_db
SAID = {"ratings": [1, -1, 1], "comment": " so so ", "seconds": 4.5, "flagged": [2]}


def propose(trace, kind="verifier", source="arithmetic", **lists):
    return StepLabels.objects.create(prompt=trace, kind=kind, source=source, **lists)


def test_a_trace_is_handed_out_with_all_the_page_shows(traces, trace, bob):
    traces.proposals = ["verifier:arithmetic", "model:prm-v1"]
    traces.save()
    completion = trace.completions.get()
    Alternative.objects.create(completion=completion, step=1, text="12 + 5 = 17", source="starter v1")
    propose(trace, "model", "prm-v1", scores=[0.9, 0.2, 0.4], errors=[0.1, None, None])
    verified = propose(trace, ratings=[1, -1], notes={"1": "12 + 5 = 17, not 18"})
    propose(trace, "model", "not-shown", scores=[0.1])
    task = next_trace(traces, bob)
    assert task["prompt"]["reference"] == "17"
    assert [step["text"] for step in task["steps"]] == completion.steps
    assert task["steps"][1]["alternatives"] == [{"text": "12 + 5 = 17", "source": "starter v1"}]
    first, second = task["steps"][1]["proposals"]
    assert (first["source"], first["rating"], first["note"]) == ("verifier:arithmetic", -1, "12 + 5 = 17, not 18")
    assert (second["source"], second["rating"], second["score"]) == ("model:prm-v1", -1, 0.2)
    assert [p["source"] for p in task["steps"][2]["proposals"]] == ["model:prm-v1"]
    assert task["proposals"][0] == verified.pk


def test_the_next_trace_is_handed_out_quickly_and_shows_the_same(traces, make_trace, bob):
    first, second = make_trace("One"), make_trace("Two", wanted=2)
    leases.hold(traces, first, bob, list(first.completions.all()))
    handed = desk.hand_out(traces, bob, [first.pk], leases.AHEAD - 1, deadline())
    assert (handed.prompt, [text for _, text, _ in handed.texts]) == (second.pk, [""])
    assert next_trace(traces, bob, [first.pk])["key"] == handed.key
    second.refresh_from_db()
    assert second.open_slots == 1


def test_a_prompt_without_steps_waits(traces, make_prompt, make_trace, bob):
    lone = make_prompt("No solution yet", completions=(), project=traces)
    whole = make_prompt("Not cut into steps", completions=("All in one.",), project=traces)
    empty = make_trace("No steps", steps=())
    served = make_trace("Cut")
    assert next_trace(traces, bob)["prompt"]["id"] == served.pk
    assert next_trace(traces, bob, [served.pk]) is None
    assert not Prompt.objects.filter(pk__in=[lone.pk, whole.pk, empty.pk], open_slots__gt=0).exists()
    with pytest.raises(Invalid, match="no solution to mark"):
        submit_steps(lone, bob, SAID)


def test_labels_taken_quickly_equal_those_taken_slowly(traces, make_trace, alice, bob):
    trace = make_trace(wanted=2)
    Alternative.objects.create(completion=trace.completions.get(), step=1, text="12 + 5 = 17", source="starter v1")
    source = propose(trace, ratings=[1, 1])
    said = SAID | {"rewrites": {"1": "12 + 5 = 17", "2": "So it is 17."}, "proposals": [str(source.pk), "x"]}
    for person in (alice, bob):
        lease = reserve(traces, person)
        if person == alice:
            submit_steps(lease.prompt, person, said, lease.key)
        else:
            assert submit_held(trace.pk, traces.slug, person, said, str(lease.key))
    columns = [field.name for field in StepLabels._meta.fields if field.name not in ("id", "labeler", "key", "created")]
    slow, quick = StepLabels.objects.by_people().order_by("pk").values(*columns)
    assert slow == quick
    assert quick["ratings"] == [1, -1, 1]
    assert quick["proposed"] == {"verifier:arithmetic": {"0": "accepted", "1": "corrected"}}
    assert quick["rewrites"]["1"] == {"text": "12 + 5 = 17", "source": "starter v1"}
    assert quick["rewrites"]["2"] == {"text": "So it is 17.", "source": ""}
    trace.refresh_from_db()
    assert (trace.labels_given, trace.open_slots, Lease.objects.count()) == (2, 0, 0)
    tallies = traces.tallies.order_by("labeler").values_list("labels", "seconds", "skips", "votes")
    assert list(tallies) == [(1, 4.5, 0, 0)] * 2


def test_the_quick_way_leaves_everything_unusual_to_the_slow_one(traces, project, trace, bob, carol):
    lease = reserve(traces, bob)
    said = trace.pk, traces.slug
    assert submit_held(*said, carol, SAID, lease.key) is None
    assert submit_held(trace.pk, project.slug, bob, SAID, lease.key) is None
    assert submit_held(*said, bob, {"ratings": [1]}, lease.key) is None, "two steps are not marked"
    assert submit_held(*said, bob, SAID, "no key") is None
    assert submit_held(*said, bob, SAID, lease.key)
    assert submit_held(*said, bob, SAID, lease.key) is None
    assert submit_steps(trace, bob, SAID, lease.key).again


def test_machines_hold_no_slot_and_keep_nobody_from_labeling(traces, trace, bob):
    propose(trace, ratings=[1, 1, 1])
    propose(trace, "import", "prm800k", ratings=[1, 0, -1])
    assert reserve(traces, bob).prompt == trace
    submit_steps(trace, bob, SAID)
    assert not StepLabels.objects.get(labeler=bob).proposed, "nothing was shown to her"


def test_a_proposal_of_another_trace_counts_for_nothing(traces, make_trace, bob):
    one, two = make_trace("One"), make_trace("Two")
    source = propose(two, ratings=[1, 1, 1])
    assert submit_steps(one, bob, SAID | {"proposals": [source.pk]}).labels.proposed == {}


def test_a_project_that_stops_at_the_first_bad_step_stores_no_more(traces, trace, bob):
    traces.stop_at_first_bad = True
    traces.save()
    lease = reserve(traces, bob)
    assert submit_held(trace.pk, traces.slug, bob, SAID, lease.key)
    assert StepLabels.objects.get().ratings == [1, -1]


def test_a_label_too_late_is_kept_as_a_draft(traces, trace, alice, bob):
    reserve(traces, bob)
    Lease.objects.update(expires=timezone.now() - timedelta(seconds=1))
    submit_steps(reserve(traces, alice).prompt, alice, SAID)
    with pytest.raises(TooLate):
        submit_steps(trace, bob, SAID)
    assert Draft.objects.get(labeler=bob).data["ratings"] == [1, -1, 1]


def test_undo_opens_the_last_labels_again_as_they_were(traces, make_trace, bob):
    first, second = make_trace("One"), make_trace("Two")
    said = SAID | {"rewrites": {"1": "12 + 5 = 17"}}
    lease = reserve(traces, bob)
    assert submit_held(first.pk, traces.slug, bob, said, lease.key)
    skip(reserve(traces, bob).prompt, bob, "other")
    assert isinstance(undo(traces, bob), Skip)
    assert isinstance(undo(traces, bob), StepLabels)
    task = next_trace(traces, bob)
    assert task["prompt"]["id"] == first.pk
    assert task["draft"]["ratings"] == [1, -1, 1] and task["draft"]["flagged"] == [2]
    assert task["draft"]["rewrites"] == {"1": "12 + 5 = 17"} and task["draft"]["comment"] == "so so"
    assert not unbalanced()
    assert sum(traces.tallies.values_list("labels", flat=True)) == 0
    assert undo(traces, bob) is None, f"{second} was never decided"


def test_undo_gives_back_a_reason_too(traces, trace, bob):
    submit_steps(trace, bob, {"ratings": [1], "gave_up": "too_hard"})
    undo(traces, bob)
    assert Draft.objects.get().data["gave_up"] == "too_hard"


def test_a_draft_keeps_the_lease_alive(traces, trace, bob):
    reserve(traces, bob)
    Lease.objects.update(expires=timezone.now() - timedelta(seconds=1))
    save_draft(trace, bob, {"ratings": [1]})
    assert Lease.objects.get().expires > timezone.now()
    assert next_trace(traces, bob)["draft"]["ratings"] == [1]


def test_deleting_a_label_opens_its_place_and_deleting_a_machines_changes_no_count(traces, trace, bob):
    machine = propose(trace, ratings=[1])
    labels = submit_steps(trace, bob, SAID).labels
    delete_label(machine)
    trace.refresh_from_db()
    assert (trace.labels_given, trace.open_slots) == (1, 0)
    delete_label(labels)
    trace.refresh_from_db()
    assert (trace.labels_given, trace.open_slots) == (0, 1)
    assert sum(traces.tallies.values_list("labels", flat=True)) == 0


def test_wanting_more_labels_opens_traces_and_leaves_problems_without_one_closed(traces, make_trace, make_prompt, bob):
    trace = make_trace()
    lone = make_prompt("No solution yet", completions=(), project=traces)
    Prompt.objects.filter(pk=lone.pk).update(open_slots=0)
    traces.labels_wanted = 3
    traces.save()
    want_labels(traces)
    found = Prompt.objects.order_by("pk").values_list("labels_wanted", "open_slots")
    assert list(found) == [(3, 3), (3, 0)], (trace, lone)
    assert Membership.objects.filter(user=bob).exists()
