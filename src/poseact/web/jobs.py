"""Long videos: jobs in SQLite, which outlive the service, and the threads that do them."""

from __future__ import annotations

import logging
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from poseact.core.console import EXPECTED
from poseact.core.files import remove_unfinished, whole_file
from poseact.media.pictures import Broken
from poseact.web.answers import Answer, copied, text
from poseact.web.limits import Limits, Refused

SAY_S = 0.25
"""From one note of progress to the next."""
OPEN = ("waiting", "running")
_TABLE = """
create table if not exists jobs (
    id text primary key, state text not null, frames integer not null, total integer,
    error text not null, created_s real not null, ended_s real
)
"""
_COLUMNS = "id, state, frames, total, error, created_s, ended_s"


@dataclass(frozen=True)
class Job:
    """state: waiting, running, done, failed or cancelled. frames: done so far, of about `total`.
    error: why it failed, or which part of the video could not be read."""

    id: str
    state: str
    frames: int
    total: int | None
    error: str
    created_s: float
    ended_s: float | None


class _Stopped(Exception):
    """The job is not wanted any more, or the service ends."""


class Jobs:
    """The jobs of one folder, which belongs to one service.

    opened: what answers an upload. Jobs that a former service left, waiting or half done, are done
    from their beginning; those whose upload is lost are reported as failed.
    """

    def __init__(
        self,
        folder: Path,
        opened: Callable[[Path], AbstractContextManager[Answer]],
        limits: Limits,
    ) -> None:
        self._folder, self._opened, self._limits = folder, opened, limits
        self._lock, self._wake = threading.Lock(), threading.Condition()
        self._stopping = False
        self._database = _opened(folder)
        self._take_over()
        self._threads = [
            threading.Thread(target=self._work, name=f"job {n}", daemon=True)
            for n in range(limits.jobs)
        ]
        for thread in self._threads:
            thread.start()

    # ------------------------------------------------------------------------- for clients

    def add(self, upload: BinaryIO) -> Job:
        """A new job; `Refused` (429) if too many wait."""
        self._sweep()
        most = self._limits.waiting_jobs + self._limits.jobs
        if sum(self.counts().get(state, 0) for state in OPEN) >= most:
            raise Refused(429, f"{most} jobs are waiting or running, which is the most; try later")
        name = secrets.token_hex(16)
        copied(upload, self._upload(name))
        values = (name, "waiting", 0, None, "", time.time(), None)
        self._do(f"insert into jobs ({_COLUMNS}) values (?, ?, ?, ?, ?, ?, ?)", *values)
        with self._wake:
            self._wake.notify()
        return self.get(name)

    def get(self, name: str) -> Job:
        """`Refused` (404) if there is none, or no more."""
        rows = self._do(f"select {_COLUMNS} from jobs where id = ?", name)
        if not rows:
            raise Refused(404, "no such job, or its result was deleted")
        return Job(*rows[0])

    def cancel(self, name: str) -> Job:
        """A job that is not done will not be; of one that is, the result is deleted."""
        job = self.get(name)
        self._end(name, "cancelled")
        if job.state == "waiting":
            self._upload(name).unlink(missing_ok=True)
        elif job.state not in OPEN:
            self._delete(name)
        return job if job.state not in OPEN else self.get(name)

    def result(self, name: str) -> Path:
        """The lines of a job that is done; `Refused` (409) for any other."""
        job = self.get(name)
        if job.state != "done":
            raise Refused(409, f"the job is {job.state}{f': {job.error}' if job.error else ''}")
        return self._result(job.id)

    def counts(self) -> dict[str, int]:
        """How many jobs are in which state."""
        return dict(self._do("select state, count(*) from jobs group by state"))

    def close(self) -> None:
        """Stop the threads; what they were at is resumed by the next service."""
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        for thread in self._threads:
            thread.join()
        with self._lock:
            self._database.close()

    # ------------------------------------------------------------------------- the work

    def _work(self) -> None:
        while not self._stopping:
            name = self._next()
            if name is not None:
                self._answer(name)
                continue
            with self._wake:
                if not self._stopping:
                    self._wake.wait(SAY_S)

    def _next(self) -> str | None:
        rows = self._do(
            "update jobs set state = 'running' where id = (select id from jobs "
            "where state = 'waiting' order by created_s limit 1) returning id"
        )
        return rows[0][0] if rows else None

    def _answer(self, name: str) -> None:
        state, error = "cancelled", ""
        try:
            error = self._write(name)
            state = "done"
        except _Stopped:
            again = "update jobs set state = 'waiting' where id = ? and state = 'running'"
            if self._stopping and self._do(f"{again} returning id", name):
                return  # and the upload stays
        except (Refused, *EXPECTED) as refused:
            state, error = "failed", str(refused)
        except Exception:
            logging.getLogger(__name__).exception("a job failed")
            state, error = "failed", "an error of the service; its log says more"
        self._upload(name).unlink(missing_ok=True)
        if not self._end(name, state, error) or state != "done":
            self._result(name).unlink(missing_ok=True)

    def _write(self, name: str) -> str:
        """Write the result; why it holds a part of the video alone, or nothing."""
        said, n = 0.0, 0
        with (
            self._opened(self._upload(name)) as answer,
            whole_file(self._result(name)) as part,
            part.open("w", encoding="utf-8", newline="\n") as out,
        ):
            try:
                for n, line in enumerate(answer.lines):  # the header is line 0
                    out.write(text(line))
                    if time.monotonic() - said > SAY_S:
                        said = time.monotonic()
                        self._note(name, n, answer.count)
                    if self._stopping:
                        raise _Stopped
            except Broken as error:
                if not n:
                    raise
                return f"{error}; {n} frames are kept"
            finally:
                self._note(name, n, answer.count)
        return ""

    def _note(self, name: str, frames: int, total: int | None) -> None:
        """How far it is; `_Stopped` if nobody waits for it."""
        rows = self._do(
            "update jobs set frames = ?, total = ? where id = ? and state = 'running' returning id",
            *(frames, total, name),
        )
        if not rows:
            raise _Stopped

    # ------------------------------------------------------------------------- the folder

    def _take_over(self) -> None:
        """What a former service left."""
        remove_unfinished(self._folder)
        for (name,) in self._do("select id from jobs where state in (?, ?)", *OPEN):
            if self._upload(name).is_file():
                self._do("update jobs set state = 'waiting', frames = 0 where id = ?", name)
            else:
                self._end(name, "failed", "the service was stopped; send the video again")
        needed = {
            self._upload(row[0]) for row in self._do("select id from jobs where state = 'waiting'")
        }
        for left in self._folder.glob("upload-*"):
            if left not in needed:
                left.unlink()
        self._sweep()

    def _sweep(self) -> None:
        """Delete what has been kept long enough."""
        before = time.time() - 3600 * self._limits.keep_hours
        for (name,) in self._do("select id from jobs where ended_s < ?", before):
            self._delete(name)

    def _delete(self, name: str) -> None:
        self._result(name).unlink(missing_ok=True)
        self._upload(name).unlink(missing_ok=True)
        self._do("delete from jobs where id = ?", name)

    def _end(self, name: str, state: str, error: str = "") -> bool:
        """Note how a job has ended; False if it had before."""
        rows = self._do(
            "update jobs set state = ?, error = ?, ended_s = ? "
            "where id = ? and state in (?, ?) returning id",
            *(state, error, time.time(), name, *OPEN),
        )
        return bool(rows)

    def _upload(self, name: str) -> Path:
        return self._folder / f"upload-{name}"

    def _result(self, name: str) -> Path:
        return self._folder / f"result-{name}.jsonl"

    def _do(self, statement: str, *values: object) -> list[tuple]:
        with self._lock, self._database:
            return self._database.execute(statement, values).fetchall()


def _opened(folder: Path) -> sqlite3.Connection:
    """The folder's jobs, for this process alone; OSError if another has them."""
    database = sqlite3.connect(folder / "jobs.sqlite", check_same_thread=False, timeout=1)
    try:
        database.execute("pragma locking_mode=exclusive")
        with database:
            database.execute(_TABLE)
    except sqlite3.OperationalError as error:
        database.close()
        raise OSError(f"{folder}: in use by another service ({error}); give --folder") from None
    return database
