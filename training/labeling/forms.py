"""The form of each kind of labeling, built from its settings."""

from typing import Any

from django import forms

from annotation.models import Project
from annotation.steps.overview import machine_sources
from training.labeling.kinds import BadLabeling, Kind, Setting, kind
from training.labeling.runs import WHICH, AlreadyLabeled, prepared, queue_run
from training.models import ModelVersion, StepLabelRun

AGAIN = {"add": "keep its labels, label only what it has not", "replace": "replace its labels"}
PLAIN = ("model", "name", "which", "most", "again")


class LabelStepsForm(forms.Form):
    """Which machine labels what; `again` appears once the source turns out to have labels already."""

    which = forms.ChoiceField(choices=list(WHICH.items()), label="Traces")
    most = forms.IntegerField(
        min_value=1, required=False, label="At most", help_text="empty: all of them; a few first show what it will cost"
    )
    name = forms.CharField(
        max_length=100, required=False, label="Name of the source", help_text="empty: named after the model or verifier"
    )
    again = forms.ChoiceField(
        choices=list(AGAIN.items()), required=False, widget=forms.RadioSelect, label="It has labels already"
    )

    def __init__(self, *args, project: Project, kind_name: str, user, **kwargs):
        super().__init__(*args, **kwargs)
        self.project, self.user, self.kind_name = project, user, kind_name
        self.kind: Kind = kind(kind_name)
        for name, setting in reversed(self.kind.SETTINGS.items()):
            self.fields = {name: self.field(setting)} | self.fields
        if self.kind.MAKES:
            models = ModelVersion.objects.visible_to(user).usable().filter(makes__in=self.kind.MAKES)
            self.fields = {"model": forms.ModelChoiceField(models, empty_label=None)} | self.fields
        if not self.data.get("again"):
            self.fields["again"].widget = forms.HiddenInput()

    def field(self, setting: Setting) -> forms.Field:
        known = {"label": setting.label, "help_text": setting.help, "required": False, "initial": setting.default}
        if setting.many:
            names = [(name, name) for name in machine_sources(self.project)]
            return forms.MultipleChoiceField(choices=names, widget=forms.CheckboxSelectMultiple, **known)
        if setting.choices:
            return forms.ChoiceField(choices=list(setting.choices.items()), **known)
        if isinstance(setting.default, str):
            return forms.CharField(widget=forms.Textarea(attrs={"rows": 2}), **known)
        bounds = {"min_value": setting.least, "max_value": setting.most}
        if isinstance(setting.default, float):
            return forms.FloatField(**known, **bounds, widget=forms.NumberInput(attrs={"step": "any"}))
        return forms.IntegerField(**known, **bounds)

    def shown(self) -> list[forms.BoundField]:
        return [field for field in self.visible_fields() if field.name not in self.hidden_names]

    @property
    def hidden_names(self) -> set[str]:
        return {name for name, setting in self.kind.SETTINGS.items() if setting.folded}

    def folded(self) -> list[forms.BoundField]:
        return [self[name] for name in self.kind.SETTINGS if name in self.hidden_names]

    @property
    def opens(self) -> bool:
        """What is folded holds an error."""
        return any(field.errors for field in self.folded())

    @property
    def lacks_model(self) -> bool:
        return "model" in self.fields and not self.fields["model"].queryset.exists()

    def asked(self) -> tuple[Any, ...]:
        """The arguments of a run."""
        data = dict(self.cleaned_data)
        model, name, which, most, again = (data.pop(field, None) for field in PLAIN)
        return self.project, self.kind_name, model, data, self.user, name, which, most, again or ""

    def run(self) -> StepLabelRun | None:
        """The run as it would be, not saved; None where something is missing."""
        return self.trying(lambda: prepared(*self.asked()))

    def queue(self) -> StepLabelRun | None:
        return self.trying(lambda: queue_run(*self.asked()))

    def trying(self, make) -> StepLabelRun | None:
        try:
            return make()
        except AlreadyLabeled as error:
            self.fields["again"].widget = forms.RadioSelect(choices=list(AGAIN.items()))
            self.add_error("again", str(error))
        except BadLabeling as error:
            self.add_error(error.field if error.field in self.fields else None, str(error))
        return None
