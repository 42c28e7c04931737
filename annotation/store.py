"""Where artifacts live: a folder under STUDIO_HOME, or any fsspec URL that several machines share."""

import shutil
from functools import cache
from pathlib import Path

import fsspec
from django.conf import settings


class NotInStore(FileNotFoundError):
    """An artifact the database knows of is gone from the store."""

    def __init__(self, key: str):
        super().__init__(
            f"The artifact store has no {key}. Restore it from a backup, or let STUDIO_HOME or STUDIO_STORE name the "
            "place where it lies."
        )


class Store:
    """Files and folders by key ("datasets/x/train.jsonl"). Local keys are their own path; remote ones are copied."""

    def __init__(self, url: str, home: Path):
        self.local = not url
        self.home = home
        self.fs, self.root = fsspec.core.url_to_fs(url or str(home))

    def remote(self, key: str) -> str:
        parts = Path(key).parts
        if not parts or Path(key).is_absolute() or ".." in parts:
            raise ValueError(f"not a key of the store: {key!r}")
        return f"{self.root.rstrip('/')}/{key}"

    def work(self, key: str) -> Path:
        """The local path to write `key` at; call `save` when it is complete."""
        self.remote(key)
        path = self.home / key
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def save(self, key: str) -> None:
        """Publish what stands at `work(key)`, a file or a folder, to every machine."""
        path = self.work(key)
        if self.local:
            return
        if path.is_dir():
            for file in (f for f in path.rglob("*") if f.is_file()):
                self.fs.put_file(str(file), f"{self.remote(key)}/{file.relative_to(path).as_posix()}")
        else:
            self.fs.put_file(str(path), self.remote(key))

    def fetch(self, key: str) -> Path:
        """A local path that holds `key`, copied in from the shared store when this machine lacks it."""
        path = self.work(key)
        if not self.local and not path.exists():
            if not self.exists(key):
                raise NotInStore(key)
            partial = path.with_name(path.name + ".partial")
            self.fs.get(self.remote(key), str(partial), recursive=self.fs.isdir(self.remote(key)))
            partial.rename(path)
        if not path.exists():
            raise NotInStore(key)
        return path

    def exists(self, key: str) -> bool:
        return self.fs.exists(self.remote(key))

    def remove(self, key: str) -> None:
        """Forget `key`, here and in the shared store; a key that is gone already is fine."""
        path = self.work(key)
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        if not self.local and self.exists(key):
            self.fs.rm(self.remote(key), recursive=True)


@cache
def store() -> Store:
    return Store(settings.STORE_URL, settings.HOME)
