"""A person's own page, the doors, and the admin behind them."""

import pytest
from django.urls import reverse

from studio.models import ApiToken

ACCOUNT = "/account/"


def test_a_token_is_shown_once_and_opens_the_door(client, alice):
    client.force_login(alice)
    answer = client.post(ACCOUNT, {"action": "token", "token-name": "notebook"})
    secret = answer.context["secret"]
    assert secret in answer.content.decode() and ApiToken.user_of(secret) == alice
    again = client.get(ACCOUNT).content.decode()
    assert "notebook" in again and secret not in again
    assert not ApiToken.objects.filter(hash__contains=secret).exists()


def test_a_token_needs_a_name(client, alice):
    client.force_login(alice)
    assert "This field is required" in client.post(ACCOUNT, {"action": "token"}).content.decode()
    assert not alice.tokens.exists()


def test_a_revoked_token_opens_nothing(client, alice):
    row, secret = ApiToken.issue(alice, "old")
    client.force_login(alice)
    client.post(ACCOUNT, {"action": "revoke", "pk": row.pk})
    assert ApiToken.user_of(secret) is None


def test_other_peoples_tokens_are_out_of_reach(client, alice, bob):
    row, secret = ApiToken.issue(bob, "bobs own secret")
    client.force_login(alice)
    assert "bobs own secret" not in client.get(ACCOUNT).content.decode()
    assert client.post(ACCOUNT, {"action": "revoke", "pk": row.pk}).status_code == 404
    assert ApiToken.user_of(secret) == bob


def test_a_token_shows_when_it_was_last_used(client, alice):
    _, secret = ApiToken.issue(alice, "script")
    client.force_login(alice)
    assert "never" in client.get(ACCOUNT).content.decode()
    ApiToken.user_of(secret)
    assert "never" not in client.get(ACCOUNT).content.decode()


def change(client, old="a long password", new="another long one 7", again="another long one 7"):
    names = ("old_password", "new_password1", "new_password2")
    fields = {f"password-{name}": value for name, value in zip(names, (old, new, again), strict=True)}
    return client.post(ACCOUNT, {"action": "password"} | fields)


def test_a_changed_password_works_and_this_browser_stays_in(client, alice):
    client.force_login(alice)
    assert change(client).status_code == 302
    alice.refresh_from_db()
    assert alice.check_password("another long one 7") and client.get(ACCOUNT).status_code == 200


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"old": "wrong"}, "entered incorrectly"),
        ({"again": "different"}, "didn’t match"),
        ({"new": "password", "again": "password"}, "too common"),
    ],
)
def test_a_password_that_will_not_do_says_why(client, alice, fields, says):
    client.force_login(alice)
    assert says in change(client, **fields).content.decode()
    alice.refresh_from_db()
    assert alice.check_password("a long password")


@pytest.mark.parametrize("who", ["alice", "alice@example.org"])
def test_people_log_in_by_username_or_email(client, alice, who):
    answer = client.post(reverse("account_login"), {"login": who, "password": "a long password"})
    assert answer.status_code == 302 and answer.url == "/"


def test_login_leads_on_to_the_page_that_was_asked_for(client, alice, project):
    asked = client.get(f"/projects/{project.slug}/")
    answer = client.post(
        asked.url, {"login": "alice", "password": "a long password", "next": project.get_absolute_url()}
    )
    assert answer.url == project.get_absolute_url()
    hostile = {"login": "alice", "password": "a long password", "next": "https://evil.example/"}
    client.logout()
    assert client.post(reverse("account_login"), hostile).url == "/"


def test_a_wrong_password_is_refused_in_words(client, alice):
    answer = client.post(reverse("account_login"), {"login": "alice", "password": "no"})
    assert answer.status_code == 200 and "not correct" in answer.content.decode()


def test_sign_up_is_closed_and_says_who_makes_accounts(client, db):
    page = client.get(reverse("account_signup")).content.decode()
    assert "Accounts are made for you" in page and "<form" not in page


@pytest.mark.parametrize("name", ["account_login", "account_reset_password", "account_reset_password_done"])
def test_the_doors_open_without_a_login(client, db, name):
    answer = client.get(reverse(name))
    assert answer.status_code == 200 and "Alignment studio" in answer.content.decode()
    assert "style=" not in answer.content.decode() and "onclick" not in answer.content.decode()


def test_logging_out_is_a_form_not_a_link(client, alice):
    client.force_login(alice)
    assert client.get(reverse("account_logout")).status_code == 200
    assert client.get(ACCOUNT).status_code == 200
    client.post(reverse("account_logout"))
    assert client.get(ACCOUNT).status_code == 302


def test_the_admin_shows_accounts_and_tokens_but_no_secret_can_be_made_there(client, admin_user, alice, project):
    row, _ = ApiToken.issue(alice, "notebook")
    client.force_login(admin_user)
    for name in ("studio_user", "studio_apitoken", "annotation_project", "annotation_membership"):
        assert client.get(reverse(f"admin:{name}_changelist")).status_code == 200
    for name in ("training_modelversion", "training_trainingjob"):
        assert client.get(reverse(f"admin:{name}_changelist")).status_code == 200
    assert client.get(reverse("admin:studio_apitoken_add")).status_code == 403
    assert 'name="hash"' not in client.get(reverse("admin:studio_apitoken_change", args=[row.pk])).content.decode()
    assert client.get(reverse("admin:annotation_project_change", args=[project.pk])).status_code == 200
    assert client.get(reverse("admin:studio_user_change", args=[alice.pk])).status_code == 200


def test_the_admin_is_closed_to_everybody_else(client, alice):
    client.force_login(alice)
    assert client.get("/admin/").status_code == 302


def test_only_an_admin_finds_the_way_to_the_admin_on_the_account_page(client, alice):
    client.force_login(alice)
    assert reverse("admin:index") not in client.get(ACCOUNT).content.decode()
    alice.is_superuser = alice.is_staff = True
    alice.save()
    page = client.get(ACCOUNT).content.decode()
    assert reverse("admin:index") in page.partition('id="main"')[2]
