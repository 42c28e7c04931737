"""Projects: the list, one project's page, its settings."""

from datetime import date

from django import forms
from django.contrib import messages
from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from annotation import overview, tasks
from annotation.access import project_or_404
from annotation.agreement import Agreement, agreement
from annotation.counters import BATCH, want_labels
from annotation.models import Criterion, Dataset, Membership, Project
from annotation.steps.opinions import step_agreement
from annotation.steps.overview import RECENT, Pace, machine_sources, paces
from annotation.steps.reading import WORDS_A_MINUTE
from annotation.templatetags.text import markdown

SETTINGS = ["name", "description", "guidelines", "kind", "labels_wanted", "blind"]
OF_KIND = {"ranking": ["allow_ties", "ask_ratings"], "steps": ["stop_at_first_bad", "split_rule", "proposals"]}


class ProjectForm(forms.ModelForm):
    class Meta:
        model = Project
        fields = [*SETTINGS, *OF_KIND["ranking"], *OF_KIND["steps"]]
        widgets = {
            "description": forms.Textarea(attrs={"rows": 2}),
            "guidelines": forms.Textarea(attrs={"rows": 14, "class": "code", "dir": "auto"}),
        }

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.fields["labels_wanted"] = forms.IntegerField(
            min_value=1, max_value=100, help_text="How many different people label each prompt", initial=1
        )
        self.fields["proposals"] = forms.MultipleChoiceField(
            required=False,
            choices=[(name, name) for name in self.sources()],
            widget=forms.CheckboxSelectMultiple,
            help_text="Shown beside each step for the labeler to accept or correct",
        )
        self.fields["split_rule"].required = False  # left out, it is the model's own
        if self.instance.pk:  # what is asked cannot change under labels already given
            del self.fields["kind"]
            for name in [name for kind, names in OF_KIND.items() if kind != self.instance.kind for name in names]:
                del self.fields[name]

    def sources(self) -> list[str]:
        """Machines that labeled steps here, and those chosen before whose labels are gone."""
        found = machine_sources(self.instance) if self.instance.pk and self.instance.kind == "steps" else []
        return list(dict.fromkeys([*self.instance.proposals, *found]))


class CriteriaForms(forms.BaseInlineFormSet):
    def clean(self) -> None:
        """Django compares the names that are sent; these may also be taken by now, from another tab or manager."""
        super().clean()
        going = {form.instance.pk for form in self.deleted_forms}
        taken = dict(self.instance.criteria.exclude(pk__in=going).values_list("name", "pk")) if self.instance.pk else {}
        for form in self.forms:
            name = getattr(form, "cleaned_data", {}).get("name")
            if name in taken and taken[name] != form.instance.pk and form not in self.deleted_forms:
                form.add_error("name", "Another criterion has this name.")


CriteriaFormSet = forms.inlineformset_factory(
    Project,
    Criterion,
    formset=CriteriaForms,
    fields=["name", "description"],
    extra=2,
    widgets={"description": forms.TextInput()},
)


def projects(request: HttpRequest) -> HttpResponse:
    found = list(Project.objects.visible_to(request.user))
    roles = dict(Membership.objects.filter(user=request.user).values_list("project", "role"))
    done = overview.progress_of(found)
    for item in found:
        item.role = roles.get(item.pk, "manager")  # a superuser manages what she is no member of
        item.progress = done[item.pk]
    context = {"place": "label", "projects": found, "may_create": may_create(request.user)}
    return render(request, "annotation/projects.html", context)


def may_create(user) -> bool:
    """Staff, and whoever manages a project already."""
    return user.is_staff or user.is_superuser or user.memberships.filter(role="manager").exists()


def project_new(request: HttpRequest) -> HttpResponse:
    if not may_create(request.user):
        raise PermissionDenied("New projects are made by managers and administrators. Ask one of them to add yours.")
    if "preview" in request.GET:
        return preview(request)
    form = ProjectForm(request.POST or None)
    criteria = CriteriaFormSet(request.POST or None, instance=Project())
    if request.method == "POST" and form.is_valid() and criteria.is_valid():
        project = create_project(form, criteria, request.user)
        messages.success(request, f"{project} is ready for its first prompts.")
        return redirect(project)
    context = {"place": "label", "form": form, "criteria": criteria}
    return render(request, "annotation/project_form.html", context)


@transaction.atomic
def create_project(form: ProjectForm, criteria: forms.BaseInlineFormSet, creator) -> Project:
    criteria.instance = project = form.save()
    criteria.save()
    Membership.objects.create(project=project, user=creator, role="manager")
    return project


def preview(request: HttpRequest) -> HttpResponse:
    """Guidelines as labelers will read them, while they are written."""
    return HttpResponse(markdown(request.POST.get("guidelines", "")))


def project(request: HttpRequest, slug: str) -> HttpResponse:
    project = project_or_404(request.user, slug)
    people = overview.labelers(project)
    context = {"place": "label", "project": project, "reviews": project.role != "labeler", "labelers": people}
    if "agreement" in request.GET and context["reviews"]:
        steps = project.kind == "steps"
        context |= step_quality(project, people) if steps else quality(project, people)
        if request.htmx:
            fragment = "annotation/project_steps.html#quality" if steps else "annotation/project.html#agreement"
            return render(request, fragment, context)
    context |= state_of(project, request.user)
    context["mine"] = next((row for row in people if row["labeler"] == request.user.pk), None)
    return render(request, "annotation/project.html", context)


def state_of(project: Project, user) -> dict:
    """What every member sees: progress, the days, what waits for her; and for a manager what to do next."""
    done = overview.progress_of([project])[project.pk]
    cursor = project.memberships.filter(user=user).values_list("cursor", flat=True).first()
    context = {
        "progress": done,
        "days": bars(overview.days(project)),
        "waiting": overview.waiting_for(project, user, cursor or 0),
        "criteria": project.criteria.all(),
    }
    if done.given:
        project.has_labels = True  # known without looking
    if project.role == "manager":
        context["lacking"] = overview.bounded(overview.waiting(project.prompts))
        newest = Dataset.objects.filter(project=project, status="ready").first()
        context["fresh"] = done.given - newest.labels_then if newest else done.given
        context["newest"] = newest
    return context


def quality(project: Project, people: list[dict]) -> dict:
    """Agreement, and what a bounded sample says of labelers; kept for as long as no label is added."""
    given = sum(row["given"] for row in people)
    key = f"quality:{project.pk}:{given}"
    found = cache.get(key)
    if found is None:
        taken = overview.sample(project)
        found = {"sample": sample_facts(taken, people) | {"given": given}, "agreement": agreement(taken.labels)}
        cache.set(key, found, 600)
    return {"labelers": labeler_rows(people, found["sample"], found["agreement"]), "measured": True} | found


def step_quality(project: Project, people: list[dict]) -> dict:
    """How labelers of steps work: their pace, and whether they read; kept for as long as no label is added."""
    key = f"step-quality:{project.pk}:{sum(row['given'] for row in people)}"
    found = cache.get(key)
    if found is None:
        found = paces(project, [row["labeler"] for row in people if row["labeler"]])
        cache.set(key, found, 600)
    rows = [row | {"pace": found.get(row["labeler"], Pace())} for row in people]
    hurried = [row for row in rows if row["pace"].hasty]
    context = {"labelers": rows, "hurried": hurried, "measured": True, "a_minute": WORDS_A_MINUTE, "recent": RECENT}
    return context | {"step_agreement": step_agreement(project)}


def sample_facts(taken: overview.Sample, people: list[dict]) -> dict:
    return {
        "rankings": taken.sources.total(),
        "sources": taken.sources.most_common(),
        "prompts": len(taken.labels),
        "seconds": {row["labeler"]: taken.median_seconds(row["labeler"]) for row in people},
    }


def labeler_rows(people: list[dict], sample: dict, agreed: Agreement) -> list[dict]:
    return [
        row | {"seconds": sample["seconds"].get(row["labeler"]), "agrees": agreed.of(row["labeler"])} for row in people
    ]


def bars(days: list[tuple[date, int]]) -> dict:
    """A bar chart's geometry: 100 high, one wide a day."""
    most = max(1, *(labels for _, labels in days))
    rows = [
        {"x": n, "y": 100 - 100 * labels / most, "height": 100 * labels / most, "day": day, "labels": labels}
        for n, (day, labels) in enumerate(days)
    ]
    return {"rows": rows, "most": most, "first": days[0][0], "last": days[-1][0], "any": any(n for _, n in days)}


def project_settings(request: HttpRequest, slug: str) -> HttpResponse:
    project = project_or_404(request.user, slug, "manager")
    if "preview" in request.GET:
        return preview(request)
    if "delete" in request.POST:
        return delete_project(request, project)
    before = project.labels_wanted
    form = ProjectForm(request.POST or None, instance=project)
    criteria = CriteriaFormSet(request.POST or None, instance=project)
    if request.method == "POST" and form.is_valid() and criteria.is_valid():
        messages.success(request, save_settings(form, criteria, before))
        return redirect("project_settings", slug)
    context = {"place": "label", "project": project, "form": form, "criteria": criteria}
    return render(request, "annotation/project_form.html", context)


@transaction.atomic
def save_settings(form: ProjectForm, criteria: forms.BaseInlineFormSet, before: int) -> str:
    """Save, and say so; a large project's prompts follow in the background."""
    project = form.save()
    criteria.save()
    if project.labels_wanted != before:
        if project.prompt_count > BATCH:
            tasks.want_labels.delay_on_commit(project.pk)
            return "Settings saved. A worker brings the prompts in line."
        want_labels(project)
    return "Settings saved."


def delete_project(request: HttpRequest, project: Project) -> HttpResponse:
    """Only an empty project goes: labels are never thrown away with a click."""
    if project.prompts.exists() or project.datasets.exists() or project.jobs.exists() or project.models.exists():
        messages.error(request, "Only an empty project can be deleted; this one holds prompts, datasets or models.")
        return redirect("project_settings", project.slug)
    project.delete()
    messages.success(request, f"{project} is deleted.")
    return redirect("projects")
