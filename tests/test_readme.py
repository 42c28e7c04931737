"""The README is true: its map is the code's own words, its commands and pictures exist.

`python -m tests.test_readme` writes the map anew.
"""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PLACES = (
    "studio", "annotation", "annotation/models", "annotation/importing", "annotation/freezing", "annotation/steps",
    "training", "training/models", "training/labeling", "training/recipes", "training/engine", "training/rewards",
    "training/sandbox", "training/server", "training/provingground", "benchmarks",
)  # fmt: skip
START, END = "<!-- map -->", "<!-- /map -->"


def first_line(path: Path) -> str:
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n")[0].rstrip(".")


def described(folder: str) -> list[str]:
    """The folder's own line, then one a module."""
    files = sorted(f for f in (ROOT / folder).glob("*.py") if not f.name.startswith("__"))
    files += sorted((ROOT / folder / "views").glob("[!_]*.py"))
    lines = [f"**{folder}/** — {first_line(ROOT / folder / '__init__.py')}", ""]
    return lines + [f"- `{file.relative_to(ROOT / folder)}` {first_line(file)}" for file in files] + [""]


def the_map() -> str:
    lines = [line for folder in PLACES for line in described(folder)]
    return "\n".join([START, "", *lines, END])


def test_the_map_lists_every_module_in_its_own_words():
    assert the_map() in README.read_text(encoding="utf-8"), "run python -m tests.test_readme"


def test_every_picture_and_file_it_links_to_exists():
    links = re.findall(r"\]\(([^)#:]+)\)", README.read_text(encoding="utf-8"))
    assert links and not [link for link in links if not (ROOT / link).exists()]


def test_every_make_target_and_verb_it_names_exists():
    from studio.__main__ import VERBS

    text, makefile = README.read_text(encoding="utf-8"), (ROOT / "Makefile").read_text()
    for target in re.findall(r"(?:`|^    )make ([a-z-]+)", text, re.M):
        assert re.search(rf"^{target}:", makefile, re.M), target
    verbs = {verb for group in VERBS.values() for verb in group}
    assert set(re.findall(r"(?:`|^    )studio ([a-z]+)", text, re.M)) <= verbs


def test_every_benchmark_it_quotes_exists():
    from benchmarks.__main__ import names

    quoted = re.findall(r"^\| `([a-z_]+)`", README.read_text(encoding="utf-8"), re.M)
    assert quoted and set(quoted) <= set(names())


if __name__ == "__main__":
    text = README.read_text(encoding="utf-8")
    README.write_text(re.sub(f"{START}.*{END}", lambda _: the_map(), text, flags=re.S), encoding="utf-8")
