"""Many files: several processes at once, and what was finished before is not done again.

A worker holds one predictor for all its files. One that dies (out of memory, killed) takes nothing
with it: results appear under their names when they are whole, and its file is given out once more.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import blake2b
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

from poseact.core.console import EXPECTED
from poseact.core.files import write_text
from poseact.inference.jobs import Done, Job, Outcome, tried

LEDGER = "poseact_finished.jsonl"
"""In the folder of results: a line for each input that is finished."""
TRIES = 2
"""So often a file is given to a worker, if workers die of it."""
_AT_ONCE = 1 << 20

Work = Callable[[Job], Done]
Start = Callable[[], Work]
"""Makes the work in a process of its own; it must be picklable."""


# --------------------------------------------------------------------------- finished before


def content(path: str | Path) -> str:
    """What a file, or every file of a folder, holds, as 32 hexadecimal digits."""
    digest, path = blake2b(digest_size=16), Path(path)
    for part in sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]:
        with part.open("rb") as file:
            while block := file.read(_AT_ONCE):
                digest.update(block)
    return digest.hexdigest()


class Ledger:
    """Which inputs are finished in a folder of results, by their content and the settings.

    settings: whatever the results depend on beside the input, as text. Lines that are no such
    lines, as the last one after a power cut, count as not finished.
    """

    def __init__(self, out: Path, settings: str) -> None:
        self.path = out / LEDGER
        self._settings = blake2b(settings.encode(), digest_size=16).hexdigest()
        self._contents: dict[Job, str] = {}
        self._known: dict[tuple[str, str, str], list[str]] = {}
        if self.path.is_file():
            for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    row = json.loads(line)
                    key = str(row["name"]), str(row["content"]), str(row["settings"])
                    self._known[key] = [str(name) for name in row["files"]]
                except (ValueError, TypeError, KeyError, RecursionError):
                    continue

    def has(self, job: Job) -> bool:
        """Whether the results of this very input with these settings are all there."""
        files = self._known.get(self._key(job))
        return bool(files) and all((self.path.parent / name).exists() for name in files)

    def add(self, job: Job, done: Done) -> None:
        """Note that a job is finished."""
        name, held, settings = self._key(job)
        row = {
            "name": name,
            "source": str(job.source),
            "content": held,
            "settings": settings,
            "files": [os.path.relpath(path, self.path.parent) for path in done.files],
        }
        line = json.dumps(row, separators=(",", ":")) + "\n"
        if not self.path.exists():
            write_text(self.path, line)
            return
        with self.path.open("r+b") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(end - 1, 0))
            whole = not end or file.read(1) == b"\n"
            file.write((line if whole else "\n" + line).encode())

    def _key(self, job: Job) -> tuple[str, str, str]:
        if job not in self._contents:
            self._contents[job] = content(str(job.source))
        return job.name, self._contents[job], self._settings


# --------------------------------------------------------------------------- several processes


class _Unable(NamedTuple):
    """Why a process cannot work at all."""

    words: str


@dataclass
class _Worker:
    process: Any
    pipe: Connection
    job: Job | None = None


def parallel(jobs: Sequence[Job], start: Start, *, workers: int) -> Iterator[tuple[Job, Outcome]]:
    """Do jobs in so many processes; each with what came of it, in the order in which they end.

    Whatever ends the iteration ends the processes; what they had begun leaves nothing. ValueError
    if the work cannot be made.
    """
    context = multiprocessing.get_context("spawn")
    waiting, tries = deque(jobs), dict.fromkeys(jobs, 0)
    crew: list[_Worker] = []
    try:
        while waiting or any(worker.job for worker in crew):
            while len(crew) < min(workers, len(waiting) + sum(bool(w.job) for w in crew)):
                crew.append(_hire(context, start))
            for worker in crew:
                if worker.job is None and waiting:
                    worker.job = waiting.popleft()
                    tries[worker.job] += 1
                    _send(worker.pipe, worker.job)
            ready = set(wait([w.pipe for w in crew if w.job]))
            for worker in [w for w in crew if w.pipe in ready]:
                job = worker.job
                assert job is not None
                try:
                    outcome: Outcome | _Unable = worker.pipe.recv()
                except (EOFError, OSError):
                    crew.remove(worker)
                    worker.process.join()
                    if tries[job] < TRIES:
                        waiting.append(job)
                        continue
                    code = worker.process.exitcode
                    outcome = (
                        f"{job.source}: its process ended {TRIES} times (exit {code}); too little "
                        "memory? Try fewer with -j"
                    )
                else:
                    worker.job = None
                    if isinstance(outcome, _Unable):
                        raise ValueError(outcome.words)
                yield job, outcome
    finally:
        for worker in crew:
            worker.pipe.close()
            if worker.job is not None:
                worker.process.terminate()
        for worker in crew:
            worker.process.join()


def _hire(context: Any, start: Start) -> _Worker:
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, start), daemon=True)
    with _later(signal.SIGINT):  # Ctrl-C is for the one who hires; it ends them
        process.start()
    theirs.close()
    return _Worker(process, ours)


@contextmanager
def _later(number: signal.Signals) -> Iterator[None]:
    """A signal comes when the block has ended, and never to processes that begin in it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    former = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)


def _send(pipe: Connection, job: Job) -> None:
    try:
        pipe.send(job)
    except OSError:
        return  # it is dead, which its pipe will say


def _serve(pipe: Connection, start: Start) -> None:
    """In a process of its own: jobs in, outcomes out, until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    with suppress(KeyboardInterrupt):  # it was told to end
        _work(pipe, start)


def _work(pipe: Connection, start: Start) -> None:
    """One job after the other."""
    work: Work | None = None
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        with suppress(OSError):  # the other end is gone, as the next `recv` will say
            try:
                work = work or start()
            except EXPECTED as error:
                pipe.send(_Unable(str(error)))
            else:
                pipe.send(tried(work, job))


def _end(number: int, frame: object) -> None:
    raise KeyboardInterrupt
