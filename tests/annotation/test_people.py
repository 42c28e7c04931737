"""Who works on a project."""

import pytest
from django.contrib.auth import get_user_model
from django.urls import reverse

from annotation.models import Membership


@pytest.fixture
def people(project):
    return reverse("project_people", args=[project.slug])


def role(project, user) -> str | None:
    return Membership.objects.filter(project=project, user=user).values_list("role", flat=True).first()


@pytest.mark.parametrize("who", ["carol", "CAROL", "carol@example.org"])
def test_somebody_is_added_by_username_or_email(client, alice, carol, project, people, who):
    client.force_login(alice)
    client.post(people, {"action": "add", "add-who": who, "add-role": "reviewer"})
    assert role(project, carol) == "reviewer"


def test_adding_nobody_says_so(client, alice, people):
    client.force_login(alice)
    html = client.post(people, {"action": "add", "add-who": "zoe", "add-role": "labeler"}).content.decode()
    assert "Nobody here is called zoe" in html


def test_nobody_joins_twice(client, alice, bob, project, people):
    client.force_login(alice)
    html = client.post(people, {"action": "add", "add-who": "bob", "add-role": "manager"}).content.decode()
    assert "is a member already" in html and role(project, bob) == "labeler"


def test_a_new_account_gets_a_password_that_is_shown_once_and_works(client, alice, project, people):
    client.force_login(alice)
    fields = {"action": "invite", "invite-username": "zoe", "invite-email": "", "invite-role": "labeler"}
    answer = client.post(people, fields)
    password = answer.context["password"]
    zoe = get_user_model().objects.get(username="zoe")
    assert password in answer.content.decode() and zoe.check_password(password) and role(project, zoe) == "labeler"
    assert password not in client.get(people).content.decode()


def test_an_account_is_not_made_twice(client, alice, bob, people):
    client.force_login(alice)
    fields = {"action": "invite", "invite-username": "Bob", "invite-email": "", "invite-role": "labeler"}
    assert "Bob exists already" in client.post(people, fields).content.decode()
    assert not get_user_model().objects.filter(username="Bob").exists()


def test_a_role_changes(client, alice, bob, project, people):
    client.force_login(alice)
    member = project.memberships.get(user=bob)
    client.post(people, {"action": "role", "member": member.pk, "role": "reviewer"})
    assert role(project, bob) == "reviewer"
    client.post(people, {"action": "role", "member": member.pk, "role": "emperor"})
    assert role(project, bob) == "reviewer"


@pytest.mark.parametrize("fields", [{"action": "remove"}, {"action": "role", "role": "labeler"}])
def test_the_last_manager_stays(client, alice, project, people, fields):
    client.force_login(alice)
    html = client.post(
        people, fields | {"member": project.memberships.get(user=alice).pk}, follow=True
    ).content.decode()
    assert "keeps at least one manager" in html and role(project, alice) == "manager"


def test_a_second_manager_may_go(client, alice, bob, project, people):
    project.memberships.filter(user=bob).update(role="manager")
    client.force_login(alice)
    client.post(people, {"action": "remove", "member": project.memberships.get(user=bob).pk})
    assert role(project, bob) is None
    client.force_login(bob)
    assert client.get(people).status_code == 404


def test_members_of_other_projects_are_out_of_reach(client, alice, carol, project, people):
    from annotation.models import Project

    other = Membership.objects.create(project=Project.objects.create(name="Other"), user=carol, role="manager")
    client.force_login(alice)
    for member in (other.pk, "", "x", "1' OR 1=1"):
        assert client.post(people, {"action": "remove", "member": member}).status_code == 404
    assert Membership.objects.filter(pk=other.pk).exists()


def test_a_username_with_markup_is_shown_as_text(client, alice, project, people):
    hostile = get_user_model().objects.create_user("mallory", first_name="<img src=x onerror=alert(1)>")
    Membership.objects.create(project=project, user=hostile)
    client.force_login(alice)
    html = client.get(people).content.decode()
    assert "<img" not in html and "&lt;img src=x" in html
