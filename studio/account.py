"""A person's own page: password, API tokens."""

from django import forms
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.forms import PasswordChangeForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from studio.models import ApiToken


class TokenForm(forms.ModelForm):
    class Meta:
        model = ApiToken
        fields = ["name"]
        help_texts = {"name": "What will use it: a notebook, a script, a machine"}


class PasswordForm(PasswordChangeForm):
    """Django's own, without jumping to its first field: the page shows more than a password."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, prefix="password", **kwargs)
        del self.fields["old_password"].widget.attrs["autofocus"]


def account(request: HttpRequest) -> HttpResponse:
    act = {"password": change_password, "token": make_token, "revoke": revoke}.get(request.POST.get("action"))
    context = {"password": PasswordForm(request.user), "token": TokenForm(prefix="token")}
    outcome = act(request) if act else {}
    if isinstance(outcome, HttpResponse):
        return outcome
    context |= {"place": "account", "tokens": request.user.tokens.all()} | outcome
    return render(request, "studio/account.html", context)


def change_password(request: HttpRequest) -> HttpResponse | dict:
    form = PasswordForm(request.user, request.POST)
    if not form.is_valid():
        return {"password": form}
    update_session_auth_hash(request, form.save())  # this browser stays logged in, every other one is out
    messages.success(request, "Your password is changed. Other browsers are logged out.")
    return redirect("account")


def make_token(request: HttpRequest) -> dict:
    """No redirect: the secret is on this one page and nowhere else."""
    form = TokenForm(request.POST, prefix="token")
    if not form.is_valid():
        return {"token": form}
    row, secret = ApiToken.issue(request.user, form.cleaned_data["name"])
    return {"issued": row, "secret": secret}


def revoke(request: HttpRequest) -> HttpResponse:
    pk = request.POST.get("pk", "")
    token = get_object_or_404(request.user.tokens, pk=pk if pk.isdecimal() else None)
    token.delete()
    messages.success(request, f"{token.name} is revoked; whatever used it is locked out.")
    return redirect("account")
