"""Overlap is exact: whatever labelers, tabs, clocks and undos do, a prompt never gets more labels than wanted."""

import random
import threading
from contextlib import suppress
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import Count, F
from django.utils import timezone

from annotation import leases, ranking
from annotation.leases import reserve
from annotation.models import Lease, Membership, Prompt, Ranking, StepLabels
from annotation.ranking import next_prompt, save_draft, submit_ranking
from annotation.slots import TooLate, skip
from annotation.steps import labeling
from annotation.undo import undo
from tests.conftest import person


def ranks(lease):
    return {"ranks": {pk: place for place, pk in enumerate(lease.shown, 1)}}


def let_expire(**which):
    Lease.objects.filter(**which).update(expires=timezone.now() - timedelta(seconds=1))


def unbalanced():
    """Prompts whose slots do not add up; there must never be one."""
    got = Count("rankings", distinct=True) + Count("step_labels", distinct=True)
    counted = Prompt.objects.annotate(held=Count("leases", distinct=True), got=got)
    return [
        (p.pk, p.open_slots, p.held, p.labels_given, p.got, p.labels_wanted)
        for p in counted
        if p.open_slots + p.held + p.labels_given != p.labels_wanted or p.got != p.labels_given
    ]


def test_a_reserved_prompt_is_not_given_to_another(project, prompt, alice, bob):
    assert reserve(project, bob).prompt == prompt
    assert reserve(project, alice) is None


def test_two_tabs_get_the_same_prompt_and_a_prefetch_the_next_one(project, make_prompt, bob):
    first, second, _third = (make_prompt(f"Question {n}") for n in range(3))
    assert reserve(project, bob).prompt == first
    assert reserve(project, bob).prompt == first
    assert reserve(project, bob, besides=[first.pk]).prompt == second
    assert reserve(project, bob, besides=[first.pk]).prompt == second
    assert reserve(project, bob, besides=[first.pk, second.pk]) is None, "two leases are enough for one person"


def test_a_wanted_overlap_is_filled_by_different_people(project, make_prompt, alice, bob, carol):
    make_prompt(wanted=2)
    Membership.objects.create(project=project, user=carol)
    for labeler in (alice, bob):
        lease = reserve(project, labeler)
        submit_ranking(lease.prompt, labeler, ranks(lease), lease.key)
        assert reserve(project, labeler) is None, "nobody labels a prompt twice"
    assert reserve(project, carol) is None


def test_an_outsider_reserves_nothing_and_a_superuser_becomes_a_member(project, prompt, carol):
    with pytest.raises(PermissionError):
        reserve(project, carol)
    carol.is_superuser = True
    assert reserve(project, carol).prompt == prompt
    assert project.role_of(carol) == "manager"


def test_an_expired_lease_returns_to_the_others(project, prompt, alice, bob):
    reserve(project, bob)
    let_expire(labeler=bob)
    assert reserve(project, alice).prompt == prompt
    assert reserve(project, bob) is None
    assert not unbalanced()


def test_her_own_expired_lease_is_renewed_when_nobody_took_it(project, prompt, bob):
    first = reserve(project, bob)
    let_expire(labeler=bob)
    again = reserve(project, bob)
    assert (again.pk, again.shown) == (first.pk, first.shown)
    assert Lease.objects.get().expires > timezone.now()


def test_a_draft_is_a_sign_of_life(project, prompt, bob):
    lease = reserve(project, bob)
    let_expire(labeler=bob)
    save_draft(prompt, bob, {"ranks": {lease.shown[0]: 1}})
    assert Lease.objects.get().expires > timezone.now()


def test_who_returns_late_finds_her_draft_first(project, make_prompt, alice, bob):
    first, second = make_prompt("One"), make_prompt("Two")
    lease = reserve(project, bob)
    save_draft(first, bob, {"ranks": {lease.shown[0]: 1}})
    let_expire(labeler=bob)
    leases.expire()
    assert reserve(project, bob).prompt == first
    assert second.leases.count() == 0


def test_prompts_with_fewer_than_two_completions_are_never_served(project, make_prompt, bob):
    make_prompt("Lonely", completions=["only one"])
    make_prompt("Empty", completions=[])
    served = make_prompt("Full")
    assert reserve(project, bob).prompt == served
    assert reserve(project, bob, besides=[served.pk]) is None


def test_the_search_wraps_around_the_end(project, make_prompt, bob):
    first = make_prompt("Early")
    Membership.objects.filter(user=bob).update(cursor=first.pk + 1000)
    assert reserve(project, bob).prompt == first


def test_only_a_blind_project_shuffles(project, make_prompt, bob):
    prompt = make_prompt(completions=[f"Answer {n}" for n in range(12)])
    given = list(prompt.completions.values_list("pk", flat=True))
    assert sorted(reserve(project, bob).shown) == given != Lease.objects.get().shown
    leases.release(prompt, bob)
    project.blind = False
    assert reserve(project, bob).shown == given


def test_the_database_refuses_the_label_after_the_last(project, prompt):
    Prompt.objects.update(labels_given=1, open_slots=0)
    with pytest.raises(IntegrityError), transaction.atomic():
        Prompt.objects.update(labels_given=F("labels_given") + 1)


def test_the_next_prompt_is_found_through_the_queue_index(project, make_prompt, bob):
    make_prompt()
    plan = leases.free_for(project, bob).filter(pk__gt=0)[:1].explain()
    assert connection.vendor != "sqlite" or "prompt_queue" in plan, plan


class Ranked:
    """A project in which completions are ranked, and how that is done."""

    labels, said = Ranking, staticmethod(ranks)
    next = staticmethod(next_prompt)
    submit, submit_held = staticmethod(submit_ranking), staticmethod(ranking.submit_held)

    def __init__(self, request):
        self.project, self.make = request.getfixturevalue("project"), request.getfixturevalue("make_prompt")


class Marked:
    """The same for steps that are marked."""

    labels, next = StepLabels, staticmethod(labeling.next_trace)
    submit, submit_held = staticmethod(labeling.submit_steps), staticmethod(labeling.submit_held)

    def __init__(self, request):
        self.project, self.make = request.getfixturevalue("traces"), request.getfixturevalue("make_trace")

    @staticmethod
    def said(lease):
        return {"ratings": [1, 0, -1]}


@pytest.fixture(params=[Ranked, Marked])
def kind(request):
    return request.param(request)


class Labeler(threading.Thread):
    """One tab of one person, doing at random what people do."""

    def __init__(self, kind, user, seed, steps, failures):
        super().__init__(daemon=True)
        self.kind, self.project, self.user, self.failures = kind, kind.project, user, failures
        self.random, self.steps = random.Random(seed), steps

    def run(self):
        try:
            for _ in range(self.steps):
                self.random.choices([self.label, self.skip, self.undo, self.leave, self.label_late], [10, 1, 2, 1, 1])[
                    0
                ]()
        except Exception as error:  # noqa: BLE001 - reported by the test
            self.failures.append(error)
        finally:
            connection.close()

    def label(self, late=False):
        """When she is late others may have been faster: then a draft is kept, never a label too many."""
        lease = reserve(self.project, self.user)
        if self.random.random() < 0.5 and lease:
            self.kind.next(self.project, self.user, besides=[lease.prompt_id])
        if lease is None:
            return
        if late:
            let_expire(pk=lease.pk)
            leases.expire()
        for _ in range(self.random.choice([1, 1, 2])):  # a double click
            said = self.kind.said(lease)
            held = lease.prompt_id, self.project.slug, self.user, said, lease.key
            if self.random.random() < 0.5 and self.kind.submit_held(*held):
                continue
            with suppress(TooLate):
                self.kind.submit(lease.prompt, self.user, said, lease.key)

    def label_late(self):
        self.label(late=True)

    def skip(self):
        if lease := reserve(self.project, self.user):
            skip(lease.prompt, self.user, "other")

    def undo(self):
        undo(self.project, self.user)

    def leave(self):
        reserve(self.project, self.user)
        let_expire(labeler=self.user)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("seed", "wanted"), [(1, 1), (2, 2), (3, 3)])
def test_many_labelers_in_many_tabs_never_exceed_the_overlap(kind, seed, wanted):
    people = [person(f"labeler{n}") for n in range(4)]
    for user in people:
        Membership.objects.create(project=kind.project, user=user)
    for n in range(12):
        kind.make(f"Question {n}", wanted=wanted)
    failures = []
    tabs = [Labeler(kind, user, f"{seed}-{user}-{tab}", 15, failures) for user in people for tab in range(2)]
    for tab in tabs:
        tab.start()
    for tab in tabs:
        tab.join(120)
    assert not failures
    assert not unbalanced()
    twice = kind.labels.objects.values("prompt", "labeler").annotate(n=Count("pk")).filter(n__gt=1)
    assert not twice.exists()
    sums = kind.labels.objects.values("labeler").annotate(n=Count("pk")).values_list("labeler", "n")
    counted = kind.project.tallies.values_list("labeler", "labels")
    assert dict(sums) == {labeler: labels for labeler, labels in counted if labels}


@pytest.mark.django_db(transaction=True)
def test_the_work_is_finished_exactly_when_everybody_only_labels(kind):
    people = [person(f"labeler{n}") for n in range(6)]
    for user in people:
        Membership.objects.create(project=kind.project, user=user)
    for n in range(10):
        kind.make(f"Question {n}", wanted=3)
    failures = []

    class Diligent(Labeler):
        def run(self):
            try:
                while lease := reserve(self.project, self.user):
                    self.kind.submit(lease.prompt, self.user, self.kind.said(lease), lease.key)
            except Exception as error:  # noqa: BLE001 - reported by the test
                self.failures.append(error)
            finally:
                connection.close()

    tabs = [Diligent(kind, user, 0, 0, failures) for user in people]
    for tab in tabs:
        tab.start()
    for tab in tabs:
        tab.join(120)
    assert not failures
    assert not unbalanced()
    assert kind.labels.objects.count() == 30
    assert not Lease.objects.exists()
