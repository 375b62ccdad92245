"""Several processes for many files, and what is finished already."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from poseact.core.files import write_text
from poseact.inference.fleet import LEDGER, Ledger, Work, content, parallel
from poseact.inference.jobs import Done, Job


def copier(out: Path, log: Path) -> Work:
    """Work that copies; of a file that says "bad" it fails, of "die" it kills its process the first
    time, of "dies" each time, and "slow" takes long."""

    def work(job: Job) -> Done:
        text = Path(str(job.source)).read_text()
        with log.open("a") as file:
            file.write(f"{job.name} {os.getpid()}\n")
        first = log.read_text().count(f"{job.name} ") == 1
        if text == "bad":
            raise ValueError(f"{job.source}: bad")
        if text == "dies" or (text == "die" and first):
            os.kill(os.getpid(), signal.SIGKILL)
        if text == "slow":
            time.sleep(60)
        write_text(out / f"{job.name}.txt", text)
        return Done([out / f"{job.name}.txt"])

    return work


def unable() -> Work:
    raise ValueError("no weights x")


def some_jobs(folder: Path, *texts: str) -> list[Job]:
    for n, text in enumerate(texts):
        write_text(folder / f"{n}", text)
    return [Job(str(folder / f"{n}"), "video", f"job{n}") for n in range(len(texts))]


def test_a_bad_file_and_a_dead_process_stop_nobody(tmp_path: Path) -> None:
    jobs = some_jobs(tmp_path / "in", "a", "bad", "die", "b", "dies", "c")
    start = partial(copier, tmp_path / "out", tmp_path / "log")
    outcomes = dict(parallel(jobs, start, workers=2))
    assert set(outcomes) == set(jobs)
    failed = {job.name: str(o) for job, o in outcomes.items() if isinstance(o, str)}
    assert failed.keys() == {"job1", "job4"}
    assert failed["job1"].endswith("1: bad") and "ended 2 times" in failed["job4"]
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {f"job{n}.txt" for n in (0, 2, 3, 5)}
    processes = {line.split()[1] for line in (tmp_path / "log").read_text().splitlines()}
    assert 2 <= len(processes) <= 5


def test_who_stops_early_ends_the_processes(tmp_path: Path) -> None:
    jobs = some_jobs(tmp_path / "in", "a", "slow")
    begun = time.monotonic()
    for job, _ in parallel(jobs, partial(copier, tmp_path / "out", tmp_path / "log"), workers=2):
        assert job.name == "job0"
        break
    assert time.monotonic() - begun < 40
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["job0.txt"]


def test_what_cannot_begin_is_said_once(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="^no weights x$"):
        list(parallel(some_jobs(tmp_path, "a", "b"), unable, workers=1))


def test_finished_means_content_settings_and_files(tmp_path: Path) -> None:
    jobs = some_jobs(tmp_path / "in", "a", "b")
    result = tmp_path / "out" / "a.txt"
    write_text(result, "1")
    ledger = Ledger(tmp_path / "out", "fast")
    assert not ledger.has(jobs[0])
    ledger.add(jobs[0], Done([result]))
    again = Ledger(tmp_path / "out", "fast")
    assert again.has(jobs[0]) and not again.has(jobs[1])
    assert not Ledger(tmp_path / "out", "slow").has(jobs[0])
    result.unlink()
    assert not Ledger(tmp_path / "out", "fast").has(jobs[0])
    write_text(result, "1")
    write_text(Path(str(jobs[0].source)), "other")
    assert not Ledger(tmp_path / "out", "fast").has(jobs[0])


def test_a_torn_ledger_loses_only_its_last_line(tmp_path: Path) -> None:
    jobs = some_jobs(tmp_path / "in", "a", "b", "c")
    ledger = Ledger(tmp_path / "out", "")
    for job in jobs[:2]:
        ledger.add(job, Done([Path(str(job.source))]))
    path = tmp_path / "out" / LEDGER
    path.write_bytes(path.read_bytes()[:-9] + b"\n[1]\nnull\n\xff\x00"[:3])
    torn = Ledger(tmp_path / "out", "")
    assert [torn.has(job) for job in jobs] == [True, False, False]
    torn.add(jobs[2], Done([Path(str(jobs[2].source))]))
    assert [Ledger(tmp_path / "out", "").has(job) for job in jobs] == [True, False, True]


def test_content_is_that_of_the_file(tmp_path: Path) -> None:
    a, b = some_jobs(tmp_path, "same", "same")
    assert content(str(a.source)) == content(str(b.source)) != content(__file__)
