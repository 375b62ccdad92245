"""Training, rendering and prediction under `kill -9` at random moments, and on a full disk.

python -m tests.soak.kills [N] [--seed S]

Each is done once in peace. Then it is begun again and again in forked processes that are killed
after a random time, until one comes through; what it leaves must be the same, byte for byte, with
nothing beside it. A full disk is a limit on the size of files: what could not be written must be
named, and nothing of it be there.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from poseact.core.types import Person, Result
from poseact.data import synthetic
from poseact.inference.jobs import Wanted, find_jobs, predict_job
from poseact.media.pictures import Frame
from poseact.people.scene import PeopleConfig
from poseact.train import loop
from poseact.train.config import Config, Mix, Stage
from tests.conftest import small_spnet
from tests.small_media import clip
from tests.small_results import HEADER, LABELS, person

PEOPLE = PeopleConfig(frames=4, height=64, width=64, supersample=1, actions=("walk", "wave"))


@dataclass(frozen=True)
class Work:
    """do: into a folder, going on with what is there. left: what of the folder must be the same."""

    do: Callable[[Path], object]
    left: Callable[[Path], dict[str, str]]


def train(folder: Path) -> None:
    mix = (Mix("clips", "people", 2, frames=4, people=PEOPLE, clips=4),)
    stages = tuple(Stage(name, 6, mix, lr=3e-3, warmup=1) for name in ("a", "b"))
    config = Config(
        name="small",
        model=small_spnet(2, cell_centres=True),
        layout="PA17",
        labels=(("walk", "wave"),),
        stages=stages,
        size=(64, 64),
        frames=4,
        log_every=1,
        checkpoint_s=0.0,
        accelerator="cpu",
        workers=0,
    )
    loop.fit(config, folder, resume=(folder / "config.json").is_file(), workers=1)


def render(folder: Path) -> None:
    synthetic.load(PEOPLE, 6, cache=folder, shard=2)


class Slow:
    """People of chance, so that nothing but reading and writing is tried."""

    layout, labels = HEADER.layout, LABELS

    def scale(self, size: tuple[int, int]) -> tuple[None, None]:
        return None, None

    def image(self, rgb: np.ndarray, *, box: np.ndarray | None = None) -> Result:
        raise NotImplementedError

    def video(self, source, *, box: np.ndarray | None = None):
        for frame in source:
            yield frame, self.seen(frame)

    def seen(self, frame: Frame) -> Result:
        people: tuple[Person, ...] = (person(frame.index), person(frame.index + 1, track=1))
        return Result(frame.index, frame.time_s, people, self.labels)


def predict(folder: Path) -> None:
    source = clip(folder.parent / "clip.mp4", frames=12)
    (job,) = find_jobs(str(source))
    wanted = Wanted(csv=True, coco=True, openpose=True, trc=True)
    predict_job(Slow(), job, folder, model="none", wanted=wanted)


def contents(folder: Path) -> dict[str, str]:
    """Every file below, with what it holds."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def run_contents(folder: Path) -> dict[str, str]:
    """Of a training: its weights and the steps of its log; rates and checkpoints have times."""
    found = contents(folder)
    found["log.jsonl"] = str([line["step"] for line in loop_log(folder)])
    return {n: v for n, v in found.items() if not n.startswith("checkpoint")}


def result_contents(folder: Path) -> dict[str, str]:
    """Of a prediction: the header names the source, which lies elsewhere each time."""
    found = contents(folder)
    lines = (folder / "clip.jsonl").read_text().splitlines()
    return found | {"clip.jsonl": str([json.loads(lines[0]) | {"source": ""}, *lines[1:]])}


def loop_log(folder: Path) -> list[dict]:
    from poseact.train.run_folder import read_log

    return read_log(folder / "log.jsonl")


WORKS = {
    "training": Work(train, run_contents),
    "rendering": Work(render, contents),
    "prediction": Work(predict, result_contents),
}
SHARES = {"training": 0.2, "rendering": 0.3, "prediction": 0.5}


def forked(do: Callable[[], object], *, after_s: float | None = None) -> int:
    """The wait status of `do` in a process of its own, killed after so long."""
    pid = os.fork()
    if pid == 0:
        status = 1
        with suppress(BaseException):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            status = do() or 0
        os._exit(int(status))  # type: ignore[call-overload]
    if after_s is not None:
        time.sleep(after_s)
        os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


def killed(name: str, count: int, rng: random.Random) -> tuple[int, list[str]]:
    """So many kills; how often the work was whole again, and what was wrong."""
    work, wrong, kills, rounds = WORKS[name], [], 0, 0
    with tempfile.TemporaryDirectory() as base:
        os.environ["POSEACT_CACHE"] = str(Path(base, "cache"))
        peace = Path(base, "peace", "out")
        peace.parent.mkdir()
        forked(lambda: work.do(peace))  # what is rendered or made once is there from now on
        expected = work.left(peace)
        begun = time.monotonic()
        forked(lambda: work.do(Path(base, "peace", "again")))
        lasts_s = time.monotonic() - begun
        while kills < count:
            rounds += 1
            out = Path(base, f"round{rounds}", "out")
            out.parent.mkdir()
            for _ in range(min(rng.randint(1, 6), count - kills)):
                forked(partial(work.do, out), after_s=rng.uniform(0, 1.2 * lasts_s))
                kills += 1
            if forked(partial(work.do, out)):
                wrong.append(f"{name}, round {rounds}: does not go on after a kill")
            elif (found := work.left(out)) != expected:
                differ = sorted(
                    n for n in found.keys() | expected.keys() if found.get(n) != expected.get(n)
                )
                wrong.append(f"{name}, round {rounds}: {', '.join(differ)} differ")
    return rounds, wrong


def limited(source: Path, out: Path, most: int) -> int:
    """2 if a prediction that may write so many bytes a file names its output, 3 if it does not."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    (job,) = find_jobs(str(source))
    wanted = Wanted(csv=True, coco=True, openpose=True, trc=True)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    try:
        predict_job(Slow(), job, out, model="none", wanted=wanted)
    except (OSError, ValueError) as error:
        return 2 if str(out) in str(error) else 3
    return 0


def full(count: int, rng: random.Random) -> list[str]:
    """Predictions on a disk that becomes full after a random number of bytes."""
    wrong = []
    with tempfile.TemporaryDirectory() as base:
        peace = Path(base, "peace", "out")
        peace.parent.mkdir()
        forked(lambda: predict(peace))
        clip(Path(base, "clip.mp4"), frames=12)
        largest = max(p.stat().st_size for p in peace.rglob("*") if p.is_file())
        for number in range(count):
            out, most = Path(base, f"out{number}"), rng.randrange(1, largest)

            status = os.waitstatus_to_exitcode(
                forked(partial(limited, Path(base, "clip.mp4"), out, most))
            )
            left = [p.name for p in out.rglob("*")] if out.exists() else []
            if status != 2 or left:
                wrong.append(f"full after {most} bytes: status {status}, left {left}")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=200)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rng, wrong = random.Random(args.seed), []
    for name in WORKS:
        start = time.monotonic()
        count = max(round(args.count * SHARES[name]), 1)
        rounds, found = killed(name, count, rng)
        took = f"{time.monotonic() - start:.0f} s"
        print(f"{name}: {count} kills, {rounds} rounds, {len(found)} wrong, {took}", flush=True)
        wrong += found
    found = full(args.count // 5, rng)
    print(f"full disk: {args.count // 5} predictions, {len(found)} wrong")
    wrong += found
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
