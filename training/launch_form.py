"""The launch form: what is trained on what, and a recipe's Config as fields with its help, defaults and checks."""

from typing import Any

from django import forms
from django.db.models import Q

from annotation.models import Dataset, Project
from training.jobs import queues
from training.models import ModelVersion
from training.recipes import RECIPES, bases_for, config_fields, recipe, shapes_for
from training.recipes.config import BadConfig, from_text, read

EXECUTORS = {
    "local": "this interpreter: one process",
    "accelerate": "accelerate: several processes",
}
WHERE = ("device", "executor", "processes", "queue")
REWARDS = "rewards"  # the setting of recipes that learn from rewards
GOLD = ("gold", "gold_patience", "keep_best_gold")  # settings that watch them
PRESETS = {"smoke": "Smoke: does it run at all?", "small": "Small: a real run on this machine", "full": "Full"}
USUAL = (
    *("rewards", "num_generations", "max_completion_length", "temperature", "kl_coef"),
    *("beta", "learning_rate", "num_train_epochs", "max_steps", "per_device_train_batch_size", "max_length"),
    *("sample_every", "eval_steps", "lora"),
)
GROUPS = {
    "Adapter": {"lora_r", "lora_alpha", "lora_layers"},
    "Optimiser": {
        *("gradient_accumulation_steps", "warmup_ratio", "lr_scheduler_type", "weight_decay", "max_grad_norm", "seed"),
    },
    "Watching and saving": {"eval_on_start", "logging_steps", "save_steps", "samples", "save_precision"},
    "Machine": {"precision", "gradient_checkpointing", "shared_prompts"},
}


class Setting(forms.Field):
    """One field of a Config; what was typed is read exactly as `--set` reads it."""

    def __init__(self, row: dict[str, Any]):
        self.row = row
        super().__init__(required=False, label=row["name"], help_text=row["help"], widget=widget(row))

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, str):
            return value.replace("\n", r"\n")  # a field is one line; a recipe reads \n as a line break
        return "" if value is None and self.row["type"] != "bool" else value

    def to_python(self, value: Any) -> Any:
        if self.row["type"] == "bool":
            return bool(value)
        try:
            return from_text(self.row, "" if value is None else str(value))
        except BadConfig as error:
            raise forms.ValidationError(str(error)) from None


def widget(row: dict[str, Any]) -> forms.Widget:
    if row["type"] == "bool":
        return forms.CheckboxInput()
    if row["type"] == "choice":
        empty = [("", "–")] if row["optional"] else []
        return forms.Select(choices=empty + [(choice, choice) for choice in row["choices"]])
    mode = {"int": "numeric", "float": "decimal"}.get(row["type"], "text")
    return forms.TextInput({"inputmode": mode, "autocomplete": "off", "class": "code", "size": 10})


class SettingsForm(forms.Form):
    """Every field of the recipe's Config; clean() hands the whole of it to the recipe's own `problems`."""

    def __init__(self, name: str, data: Any = None, initial: dict[str, Any] | None = None):
        self.recipe, self.rows = name, config_fields(name)
        defaults = {row["name"]: row["default"] for row in self.rows}
        known = {key: value for key, value in (initial or {}).items() if key in defaults}
        super().__init__(data, prefix="set", initial=defaults | known)
        for row in self.rows:
            self.fields[row["name"]] = Setting(row)

    def clean(self) -> dict[str, Any]:
        if self.errors:
            return self.cleaned_data
        try:
            problems = recipe(self.recipe).problems(read(recipe(self.recipe).Config, self.cleaned_data))
        except BadConfig as error:
            problems = [str(error)]
        for problem in problems:
            name = problem.split()[0].rstrip(":")
            self.add_error(name if name in self.fields else None, problem.removeprefix(f"{name}: "))
        return self.cleaned_data

    @property
    def rewards(self) -> forms.BoundField | None:
        """The weighted list of rewards, where the recipe has one: it is built in a card of its own."""
        return self[REWARDS] if REWARDS in self.fields else None

    @property
    def watching(self) -> list[forms.BoundField]:
        """What watches the rewards stands beside them."""
        return [self[name] for name in GOLD if name in self.fields]

    @property
    def groups(self) -> list[dict[str, Any]]:
        """Fields under their headings; `open` where one of them needs the person."""
        own = {row["name"] for row in self.rows if not row["shared"]} - set(USUAL)
        found = [("", [name for name in USUAL if name in self.fields])]
        found += [(title, [n for n in self.fields if n in names]) for title, names in {"Method": own, **GROUPS}.items()]
        apart = {REWARDS, *GOLD}  # in a card of their own
        found = [(title, [name for name in names if name not in apart]) for title, names in found]
        placed = apart | {name for _, names in found for name in names}
        found.append(("Other", [name for name in self.fields if name not in placed]))
        return [
            {
                "title": title,
                "fields": [self[name] for name in names],
                "open": any(name in self.errors for name in names),
            }
            for title, names in found
            if names
        ]


class ChoicesForm(forms.Form):
    """What is trained on what: only projects the person manages, and what belongs together."""

    project = forms.ModelChoiceField(Project.objects.none(), empty_label=None)
    dataset = forms.ModelChoiceField(Dataset.objects.none(), empty_label=None)
    recipe = forms.ChoiceField(choices=lambda: [(name, name) for name in RECIPES])
    base_model = forms.ModelChoiceField(ModelVersion.objects.none(), empty_label=None, label="Base model")
    name = forms.CharField(max_length=120, required=False, help_text="Empty: recipe and dataset")
    device = forms.ChoiceField(
        choices=[("auto", "auto: a GPU if there is one"), ("cpu", "cpu"), ("cuda", "cuda")],
        initial="auto",
        help_text="What the trainer's machine computes on",
    )
    executor = forms.ChoiceField(
        choices=EXECUTORS.items(),
        initial="local",
        label="Started by",
        help_text="Several processes share each step's rows; the check's time and memory are for one",
    )
    processes = forms.IntegerField(
        min_value=1,
        max_value=1024,
        required=False,
        help_text="With accelerate, how many: one for each GPU. Empty: as accelerate config was told on that machine",
        widget=forms.NumberInput({"class": "code", "min": 1, "max": 1024, "autocomplete": "off"}),
    )
    queue = forms.ChoiceField(
        help_text="Trainers take from the queue they were started for: studio trainer --queue NAME",
        error_messages={"invalid_choice": "No trainer listens to a queue “%(value)s”. Choose one of those listed."},
    )

    def __init__(self, user, data: Any = None, **kwargs):
        super().__init__(data, **kwargs)
        for field in ("project", "recipe"):  # choosing another one changes the rest of the form
            self.fields[field].widget.attrs["data-refill"] = True
        self.fields["recipe"].help_text = summary((self.data if self.is_bound else self.initial).get("recipe"))
        self.fields["project"].queryset = projects = Project.objects.run_by(user).distinct()
        self.project = chosen(projects, self["project"].value()) or projects.first()
        self.recipe = self["recipe"].value() if self["recipe"].value() in RECIPES else "dpo"
        self.fields["dataset"].queryset = datasets_for(self.project, self.recipe)
        self.fields["base_model"].queryset = models_for(user, self.project, self.recipe)
        self.fields["queue"].choices = [(name, queue_label(name, device)) for name, device in queues().items()]

    def clean(self) -> dict[str, Any]:
        """`executor` leaves as the engine writes it: local, accelerate or accelerate:N."""
        data = super().clean()
        if (processes := data.get("processes")) and data.get("executor") == "local":
            self.add_error("processes", "This interpreter is one process. Choose accelerate, or leave this empty.")
        elif processes and data.get("executor"):
            data["executor"] = f"{data['executor']}:{processes}"
        return data

    @property
    def what(self) -> list[forms.BoundField]:
        return [field for field in self if field.name not in WHERE]

    @property
    def where(self) -> dict[str, Any]:
        """The part of the form that is folded unless something in it was changed or needs the person."""
        fields = [self[name] for name in WHERE]
        usual = {"device": "auto", "executor": "local", "processes": "", "queue": self.fields["queue"].choices[0][0]}
        touched = any(str(field.value() or usual[field.name]) != usual[field.name] for field in fields)
        return {"fields": fields, "open": touched or any(field.errors for field in fields)}


def queue_label(name: str, device: str) -> str:
    return f"{name}: {device or 'nobody listens now'}"


def chosen(queryset, pk: Any):
    return queryset.filter(pk=pk).first() if str(pk or "").isdecimal() else None


def datasets_of(user):
    """All of the projects the person manages."""
    return Dataset.objects.filter(project__in=Project.objects.run_by(user))


def datasets_for(project: Project | None, name: str):
    """Frozen rows of the project in a shape the recipe reads."""
    return Dataset.objects.filter(project=project, status="ready", rows_train__gt=0, shape__in=shapes_for(name))


def usual_recipe(user, said: dict[str, Any]) -> str:
    """Where none was named: what the dataset's rows, or the project's labels, are for."""
    projects = Project.objects.run_by(user).distinct()
    dataset = chosen(datasets_of(user), said.get("dataset"))
    project = dataset.project if dataset else chosen(projects, said.get("project")) or projects.first()
    shape = dataset.shape if dataset else {"steps": "stepwise"}.get(getattr(project, "kind", ""), "pairs")
    return {"stepwise": "prm", "outcome": "orm", "prompts": "grpo"}.get(shape, "dpo")


def models_for(user, project: Project | None, name: str):
    """Weights we hold that the recipe can start from: shared ones and this project's own."""
    usable = ModelVersion.objects.visible_to(user).usable().filter(makes__in=bases_for(name), endpoint="")
    return usable.filter(Q(project=None) | Q(project=project)).order_by("name", "-version")


def summary(name: str | None) -> str:
    """The first line of the recipe's docstring."""
    return recipe(name).__doc__.strip().splitlines()[0] if name in RECIPES else ""


def preset(name: str, which: str) -> dict[str, Any]:
    return dict(recipe(name).PRESETS.get(which, {}))


def preset_of(name: str, settings: dict[str, Any]) -> str:
    """Which preset these settings are; '' where something was changed."""
    config = recipe(name).Config
    return next((which for which in PRESETS if vars(config(**preset(name, which))) == settings), "")


def changed(name: str, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Every setting with its default and help, and whether it differs."""
    rows = [row | {"value": settings.get(row["name"], row["default"])} for row in config_fields(name)]
    return [row | {"changed": row["value"] != row["default"]} for row in rows]
