"""Ways to register a model: from the hub, from a folder of this machine, as an endpoint that someone else serves."""

from asgiref.sync import async_to_sync
from django import forms

from annotation.models import Project
from training import registry, serving
from training.endpoints import RefusedAddress, check_url
from training.models import ModelVersion


class Registration(forms.Form):
    """What every way of registering asks; a superuser may share a model with everyone."""

    name = forms.CharField(max_length=80, required=False, help_text="Empty: its own name")
    project = forms.ModelChoiceField(Project.objects.none(), required=False, empty_label="Everyone")

    def __init__(self, user, data=None):
        super().__init__(data)
        self.user = user
        field = self.fields["project"]
        field.queryset = Project.objects.run_by(user).distinct()
        field.help_text = "Who may use it"
        if not user.is_superuser:
            field.required, field.empty_label = True, None
        self.order_fields([name for name in self.fields if name not in ("name", "project")] + ["name", "project"])

    def common(self) -> dict:
        return {"name": self.cleaned_data["name"], "user": self.user, "project": self.cleaned_data["project"]}


class FromHub(Registration):
    hub_id = forms.CharField(
        max_length=300,
        label="Hub id",
        help_text="owner/name, or owner/name@revision",
        widget=forms.TextInput(
            {"class": "code", "placeholder": "HuggingFaceTB/SmolLM2-135M-Instruct", "autocomplete": "off"}
        ),
    )

    def register(self) -> ModelVersion:
        return registry.register_hub(self.cleaned_data["hub_id"], **self.common())


class FromFolder(Registration):
    folder = forms.CharField(
        max_length=400,
        help_text="On the studio's machine: config.json, tokenizer and *.safetensors. A worker copies it.",
        widget=forms.TextInput({"class": "code", "autocomplete": "off"}),
    )

    def register(self) -> ModelVersion:
        return registry.queue_folder(self.cleaned_data["folder"], **self.common())


class FromEndpoint(Registration):
    url = forms.CharField(
        max_length=400,
        label="Base URL",
        help_text="of an OpenAI-compatible server, up to and with /v1",
        widget=forms.TextInput(
            {"class": "code", "placeholder": "https://host/v1", "inputmode": "url", "autocomplete": "off"}
        ),
    )
    endpoint_model = forms.CharField(max_length=200, label="Model", help_text="as its /v1/models lists it")
    key_env = forms.CharField(
        max_length=80,
        required=False,
        label="Key",
        widget=forms.TextInput({"class": "code", "autocomplete": "off"}),
        help_text="Name of the environment variable that holds it, such as OPENAI_API_KEY. The key is never stored.",
    )

    anyway = forms.BooleanField(
        required=False, label="Register it although it does not say what it has", widget=forms.HiddenInput
    )  # shown once it is needed

    def __init__(self, user, data=None):
        super().__init__(user, data)
        self.order_fields([name for name in self.fields if name != "anyway"])
        if not user.is_superuser:  # a key must not be sent to an address that someone without that trust typed in
            del self.fields["key_env"]

    def clean_url(self) -> str:
        try:
            return check_url(self.cleaned_data["url"].strip())
        except (RefusedAddress, ValueError) as error:
            raise forms.ValidationError(str(error)) from None

    def clean_key_env(self) -> str:
        name = self.cleaned_data["key_env"]
        if name and not registry.KEY_NAME.fullmatch(name):
            raise forms.ValidationError("Name it like OPENAI_API_KEY, ending in _API_KEY: no other variable is sent.")
        return name

    def clean(self) -> dict:
        """Ask the endpoint itself, once everything typed may be sent to it."""
        data = super().clean()
        if self.errors:
            return data
        try:
            there = async_to_sync(serving.offered)(data["url"], data.get("key_env", ""))
        except serving.ServingError as error:
            self.fields["anyway"].widget = forms.CheckboxInput()
            if not data["anyway"]:
                advice = "Check the address and the server, or tick the box below to register it all the same."
                self.add_error("url", f"{error} {advice}")
            return data
        if data["endpoint_model"] not in there:
            self.add_error("endpoint_model", f"The endpoint has no model of this name. It offers {some(there)}.")
        return data

    def register(self) -> ModelVersion:
        data = self.cleaned_data
        return registry.register_endpoint(
            data["url"], endpoint_model=data["endpoint_model"], key_env=data.get("key_env", ""), **self.common()
        )


def some(names: list[str], most: int = 12) -> str:
    """
    >>> some(["a", "b"]), some([]), some(["a", "b", "c"], most=2)
    ('a, b', 'none', 'a, b and 1 more')
    """
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(name[:200] for name in names[:most]) + rest or "none"
