"""Every address there is, with the ids of one project in it, and what the database holds."""

from django.apps import apps
from django.urls import URLResolver, get_resolver, reverse

# What <slug> and <pk> mean, by the start of the address; a page added tomorrow under a new start must be named here.
MEANS = {
    "projects/<slug:slug>/imports/<int:pk>": "import",
    "projects/<slug:slug>/prompts/<int:pk>": "prompt",
    "projects/<slug:slug>/complete/<int:pk>": "run",
    "projects/<slug:slug>/label-steps/<int:pk>": "labeling",
    "projects/<slug:slug>": "project",
    "datasets/<slug:slug>": "dataset",
    "models/<slug:slug>": "model",
    "train/rewards/tried/<int:pk>": "trial",
    "train/<int:pk>": "job",
    "compare/<int:pk>": "comparison",
    "search/evaluations/<int:pk>": "evaluation",
    "search/strategies/<int:pk>": "strategy",
    "search/<int:pk>": "search",
}
FIXED = {"<int:column>": "0", "<str:name>": "train.jsonl", "<path:path>": "config.json"}
ELSEWHERE = ("accounts/", "admin/", "api/", "v1/", "static/")  # allauth's, Django's, and the two that take tokens


def patterns(resolver=None, prefix="") -> list[str]:
    found = []
    for entry in (resolver or get_resolver()).url_patterns:
        path = prefix + str(entry.pattern)
        found += patterns(entry, path) if isinstance(entry, URLResolver) else [path]
    return found


def filled(path: str, world: dict) -> str:
    for start, what in MEANS.items():
        if path.startswith(start):
            path = path.replace("<int:pk>", str(world[what]))
            path = path.replace("<slug:slug>", str(world["project" if start.startswith("projects") else what]))
            path = path.replace("<int:group>", str(world["rollouts"]))
    for part, value in FIXED.items():
        path = path.replace(part, value)
    assert "<" not in path, f"{path}: say in MEANS what it shows"
    return f"/{path}"


def with_ids(world: dict) -> list[str]:
    found = [filled(path, world) for path in patterns() if "<" in path and not path.startswith(ELSEWHERE)]
    return [*found, *of_steps(world)]


def of_steps(world: dict) -> list[str]:
    """The addresses that look different where steps are marked."""
    named = [start for start, what in MEANS.items() if what in world["steps"]]
    return [filled(path, world | world["steps"]) for path in patterns() if path.startswith(tuple(named))]


def everywhere(world: dict) -> list[str]:
    """Every page there is that a browser shows."""
    own = [filled(path, world) for path in patterns() if not path.startswith(ELSEWHERE)]
    own += of_steps(world)
    job, project = reverse("job", args=[world["job"]]), reverse("project", args=[world["project"]])
    marked = reverse("project", args=[world["steps"]["project"]])
    more = [f"{job}?tab={tab}" for tab in ("rollouts", "samples", "log", "settings", "machine", "files")]
    more += [f"{project}?agreement=1", f"/train/new/?check={world['preflight']}", f"/train/overlay/?run={world['job']}"]
    more += [
        f"/compare/?draw={world['project']}",
        f"/search/{world['search']}/?view=list&node=1",
        f"/search/?like={world['search']}&draw={world['project']}",
        "/models/new/?from=endpoint",
        "/models/new/?from=folder",
        "/models/theirs-v1/",
        f"{marked}?agreement=1",
        f"{marked}alternatives/?prompt={world['steps']['prompt']}&step=1",
        f"{marked}sources/?sources=model:prm-v1&sources=verifier:arithmetic",
        *(f"{marked}label-steps/?kind={kind}" for kind in ("monte-carlo", "verifier", "model", "consensus")),
    ]
    return [*own, *more]


def counts() -> dict[str, int]:
    rows = [m for app in ("studio", "annotation", "training") for m in apps.get_app_config(app).get_models()]
    return {model.__name__: model.objects.count() for model in rows}
