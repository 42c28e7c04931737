"""The bad rows of an import: the first hundred in its report, all of them in a file one can download."""

import json
from typing import IO

from annotation.models import Import
from annotation.store import store

SHOWN = 100


def problems_key(job: Import) -> str:
    return f"imports/{job.pk}.problems.jsonl"


class Problems:
    """Collects bad rows by line and reason; begun again after a lost worker, it goes on where the report stands."""

    def __init__(self, job: Import):
        self.job = job
        self.path = store().work(problems_key(job))
        self.file: IO[str] | None = None
        self.kept = job.bad

    def add(self, problems: list[tuple[int, str]]) -> None:
        for line, reason in problems:
            self.job.bad += 1
            problem = {"row": line, "reason": reason}
            if len(self.job.problems) < SHOWN:
                self.job.problems.append(problem)
            print(json.dumps(problem, ensure_ascii=False), file=self.opened())

    def opened(self) -> IO[str]:
        """The file, cut to the problems that were reported before this run."""
        if self.file is None:
            before = self.path.read_text().splitlines(keepends=True) if self.path.exists() else []
            self.file = self.path.open("w")
            self.file.writelines(before[: self.kept])
        return self.file

    def flush(self) -> None:
        if self.file:
            self.file.flush()

    def close(self) -> None:
        if self.file:
            self.file.close()
            self.file = None
            store().save(problems_key(self.job))
