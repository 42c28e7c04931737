"""Who works on a project: add, change role, remove, or make an account for somebody new."""

import secrets

from django import forms
from django.contrib import messages
from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from annotation.access import project_or_404
from annotation.models import Membership, Project

User = get_user_model()


class AddForm(forms.Form):
    """Somebody who has an account."""

    who = forms.CharField(label="Username or email", max_length=254)
    role = forms.ChoiceField(choices=Membership.ROLES[::-1])

    def __init__(self, *args, project: Project, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.project = project

    def clean_who(self):
        who = self.cleaned_data["who"].strip()
        found = User.objects.filter(Q(username__iexact=who) | Q(email__iexact=who), is_active=True)[:2]
        if not found:
            raise forms.ValidationError(f"Nobody here is called {who}. Make an account for them below.")
        if len(found) > 1:
            raise forms.ValidationError(f"Several accounts match {who}; give the exact username.")
        if self.project.memberships.filter(user=found[0]).exists():
            raise forms.ValidationError(f"{found[0]} is a member already.")
        return found[0]


class InviteForm(forms.ModelForm):
    """Somebody who has none: the account is made here, its password shown once."""

    role = forms.ChoiceField(choices=Membership.ROLES[::-1])

    class Meta:
        model = User
        fields = ["username", "email"]
        help_texts = {"username": ""}

    def clean_username(self) -> str:
        username = self.cleaned_data["username"]
        if User.objects.filter(username__iexact=username).exists():
            raise forms.ValidationError(f"{username} exists already; add them above.")
        return username


def project_people(request: HttpRequest, slug: str) -> HttpResponse:
    project = project_or_404(request.user, slug, "manager")
    act = {"add": add, "invite": invite, "role": change_role, "remove": remove}.get(request.POST.get("action"))
    context = {"add": AddForm(project=project, prefix="add"), "invite": InviteForm(prefix="invite")}
    outcome = act(request, project) if act else {}
    if isinstance(outcome, HttpResponse):
        return outcome
    members = project.memberships.select_related("user").order_by("user__username")
    context |= {"place": "label", "project": project, "members": members, "roles": Membership.ROLES} | outcome
    return render(request, "annotation/project_people.html", context)


def add(request: HttpRequest, project: Project) -> HttpResponse | dict:
    form = AddForm(request.POST, project=project, prefix="add")
    if not form.is_valid():
        return {"add": form}
    user = form.cleaned_data["who"]
    Membership.objects.get_or_create(project=project, user=user, defaults={"role": form.cleaned_data["role"]})
    messages.success(request, f"{user} joined as {form.cleaned_data['role']}.")
    return redirect("project_people", project.slug)


def invite(request: HttpRequest, project: Project) -> dict:
    """No redirect: the password is on this one page and nowhere else."""
    form = InviteForm(request.POST, prefix="invite")
    if not form.is_valid():
        return {"invite": form}
    password = secrets.token_urlsafe(12)
    with transaction.atomic():
        user = form.save(commit=False)
        user.set_password(password)
        user.save()
        Membership.objects.create(project=project, user=user, role=form.cleaned_data["role"])
    return {"made": user, "password": password}


@transaction.atomic
def change_role(request: HttpRequest, project: Project) -> HttpResponse:
    member, role = member_of(request, project), request.POST.get("role")
    if role not in dict(Membership.ROLES):
        messages.error(request, "That role does not exist.")
    elif role != "manager" and is_last_manager(member):
        messages.error(request, "A project keeps at least one manager. Make somebody else manager first.")
    else:
        project.memberships.filter(pk=member.pk).update(role=role)
        messages.success(request, f"{member.user} is now {role}.")
    return redirect("project_people", project.slug)


@transaction.atomic
def remove(request: HttpRequest, project: Project) -> HttpResponse:
    member = member_of(request, project)
    if is_last_manager(member):
        messages.error(request, "A project keeps at least one manager. Make somebody else manager first.")
    else:
        member.delete()
        messages.success(request, f"{member.user} no longer sees this project; their labels stay.")
    return redirect("project_people", project.slug)


def member_of(request: HttpRequest, project: Project) -> Membership:
    """The member named in the form; the project's row is locked, so two managers cannot leave at once."""
    Project.objects.select_for_update().get(pk=project.pk)
    pk = request.POST.get("member", "")
    return get_object_or_404(project.memberships.select_related("user"), pk=pk if pk.isdecimal() else None)


def is_last_manager(member: Membership) -> bool:
    managers = member.project.memberships.filter(role="manager")
    return member.role == "manager" and not managers.exclude(pk=member.pk).exists()
