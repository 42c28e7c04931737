"""The models at hand: loaded when asked for, put back least recently used first."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from training.server.engine import Engine, Lane
from training.server.fetching import bring
from training.server.folders import Options, find, stamp_of, weights
from training.server.loading import load
from training.server.protocol import ApiError

log = logging.getLogger("training.server")


@dataclass(eq=False)
class Entry:
    """One place on the shelf: a folder as it was when it was asked for."""

    name: str
    folder: Path
    stamp: tuple
    loading: asyncio.Task | None = None
    lane: Lane | None = None
    bytes: int = 0
    users: int = 0
    used: float = 0.0
    retired: bool = False  # asked to leave; does so when its last user is done

    def waiting(self) -> int:
        return self.users - (self.lane.running_jobs() if self.lane else 0)


class Shelf:
    """Lends models. All of its state is touched from the event loop alone."""

    def __init__(self, options: Options, engine: Engine):
        self.options, self.engine = options, engine
        self.entries: list[Entry] = []
        self.loads, self.freed = asyncio.Lock(), asyncio.Event()

    async def open(self) -> None:
        """Import what takes seconds before anybody asks; loads wait, as two threads must not import it at once."""
        async with self.loads:
            await asyncio.to_thread(import_module, "transformers.modeling_utils")
            self.engine.thread.start()

    @asynccontextmanager
    async def borrow(self, name: str) -> AsyncIterator[Lane]:
        """The lane of a model, loaded if need be. Raises ApiError: unknown, too large, or too many wait already."""
        await asyncio.to_thread(bring, name, self.options.models)
        entry = self.entry(name)
        if entry.waiting() >= self.options.queue:
            message = f"{self.options.queue} requests already wait for {name}; try again in a moment"
            raise ApiError(503, message, "queue_full", retry_after=2)
        entry.users += 1
        try:
            entry.loading = entry.loading or asyncio.create_task(self.load(entry))
            yield await asyncio.shield(entry.loading)
        finally:
            entry.users -= 1
            entry.used = time.monotonic()
            self.put_back(entry)

    def entry(self, name: str) -> Entry:
        folder = find(name, self.options)
        stamp = stamp_of(folder)
        for entry in [e for e in self.entries if e.folder == folder and not e.retired]:
            if entry.stamp == stamp:
                return entry
            self.retire(entry)  # the folder holds other weights now
        self.entries.append(Entry(name, folder, stamp, used=time.monotonic()))
        return self.entries[-1]

    async def load(self, entry: Entry) -> Lane:
        try:
            async with self.loads:
                entry.bytes = await self.make_room(entry)
                began = time.monotonic()
                model = await asyncio.to_thread(load, entry.name, entry.folder, self.options)
                entry.lane = Lane(model, self.options.rows, self.options.room)
                log.info("loaded %s: %.2f GB in %.1f s", entry.name, entry.bytes / 1e9, time.monotonic() - began)
                return entry.lane
        except ApiError:
            self.retire(entry)
            raise
        except Exception as fault:
            self.retire(entry)
            log.exception("loading %s failed", entry.name)
            message = f"{entry.name} could not be loaded: {type(fault).__name__}: {fault}"
            raise ApiError(500, message, "load_failed", "model") from fault

    async def make_room(self, entry: Entry) -> int:
        """Bytes the entry needs, once they are free: the least recently used models leave when their users are done."""
        need, budget = weights(entry.folder, self.options), self.options.memory
        if need > budget:
            message = f"{entry.name} needs {need / 1e9:.1f} GB; the server may hold {budget / 1e9:.1f} GB"
            raise ApiError(413, message, "model_too_large", "model")
        while self.held() + need > budget:
            self.freed.clear()
            loaded = [e for e in self.entries if e.lane and not e.retired]
            leaving = sum(e.bytes for e in self.entries if e.retired)
            if loaded and self.held() - leaving + need > budget:
                self.retire(min(loaded, key=lambda e: (e.users > 0, e.used)))
            else:
                await self.freed.wait()
        return need

    def held(self) -> int:
        return sum(entry.bytes for entry in self.entries)

    def retire(self, entry: Entry) -> None:
        entry.retired = True
        self.put_back(entry)

    def put_back(self, entry: Entry) -> None:
        if entry.retired and not entry.users and entry in self.entries:
            self.entries.remove(entry)
            entry.lane = entry.loading = None
            release_memory()
            self.freed.set()

    def unload(self, name: str) -> int:
        """Let a model go; requests that run end first. Returns how many do."""
        entries = [e for e in self.entries if e.name == name]  # its folder may be gone by now
        folder = None if entries else find(name, self.options)
        entries = entries or [e for e in self.entries if e.folder == folder]
        for entry in entries:
            self.retire(entry)
        return sum(entry.users for entry in entries)


def release_memory() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
