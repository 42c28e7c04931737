"""List the benchmarks, or run one: `python -m benchmarks NAME` prints one JSON line."""

import os
import sys
from importlib import import_module
from pathlib import Path

FOLDER = Path(__file__).parent


def names() -> list[str]:
    return sorted(f.stem for f in FOLDER.glob("*.py") if not f.stem.startswith("_"))


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "studio.settings")
    if len(sys.argv) > 1 and sys.argv[1] in names():
        name = sys.argv.pop(1)
        return import_module(f"benchmarks.{name}").main()
    for name in names():
        print(f"{name:<16} {(import_module(f'benchmarks.{name}').__doc__ or '').strip().splitlines()[0]}")
    sys.exit(len(sys.argv) > 1)


if __name__ == "__main__":
    main()
