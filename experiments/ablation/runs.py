"""Trains and scores runs: each once, whoever asks for it; several at a time, in processes.

OUT/others_2d           pictures of other people without their 3D labels
OUT/VARIANT-SEED-HASH/      a run folder of `poseact train`, its output.txt, and results.json
"""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import torch

from experiments.ablation.variants import CLIPS, OTHERS, PEOPLE, RUNS, TEST_CLIPS, folder, parent
from poseact import data
from poseact.cli.terminal import Terminal
from poseact.core.files import write_text
from poseact.data import pack
from poseact.evaluate.views import evaluate
from poseact.models import weights
from poseact.train.config import Config
from poseact.train.loop import fit
from poseact.train.recipes.shipped import cost

Result = dict[str, Any]
"""`evaluate.Report` as JSON, with `parameters`, the `multiply_adds` of a frame, and `cpu_s`: CPU
seconds of training and test, None if the training was interrupted."""

_PER_FRAME_S, _PER_MULTIPLY_ADD_S = 0.0025, 3e-11
"""Measured on one core of 2026, for the estimate before anything has run."""


def prepare(out: Path, *, workers: int = 1) -> None:
    """Render what all variants share, and pack the pictures that have only 2D labels."""
    for split, clips in (("train", CLIPS), ("test", TEST_CLIPS)):
        data.load("people", split=split, people=PEOPLE, clips=clips, workers=workers)
    others = data.load("people", split="train", people=OTHERS, clips=CLIPS, workers=workers)
    flat = [replace(record, xyz=None, camera=None) for record in others]
    pack.pack(flat, out / "others_2d", quality=95)


def complete(config: Config, out: Path) -> Result:
    """Train as far as it is not done, score the last weights on the test people, once."""
    place = out / folder(config)
    done = result(config, out)
    if done is not None:
        return done
    os.environ[RUNS] = str(out)
    place.mkdir(parents=True, exist_ok=True)
    whole = not (place / "checkpoint.pt").is_file()
    start_s = time.process_time()
    with (place / "output.txt").open("a") as file, redirect_stdout(file):
        path = fit(config, place, resume=True, workers=1, console=Terminal())
    model, card = weights.load(path)
    people = data.load("people", split="test", people=PEOPLE, clips=TEST_CLIPS)
    report = evaluate(model, card, people, name="people", split="test")
    cpu_s = round(time.process_time() - start_s, 1) if whole else None
    found: Result = {
        **json.loads(report.to_json()),
        "parameters": sum(p.numel() for p in model.parameters()),
        "multiply_adds": report.blocks[-1].multiply_adds,
        "cpu_s": cpu_s,
    }
    write_text(place / "results.json", json.dumps(found, indent=1))
    return found


def result(config: Config, out: Path) -> Result | None:
    """What `complete` found, or None if it did not run to its end."""
    path = out / folder(config) / "results.json"
    return json.loads(path.read_text()) if path.is_file() else None


def with_parents(names: Sequence[str], variants: Mapping[str, Config]) -> list[Config]:
    """The runs of these variants and what they start from, parents first."""
    by_folder = {folder(config): name for name, config in variants.items()}
    wanted = set(names)
    wanted |= {by_folder[start] for name in names if (start := parent(variants[name]))}
    return [config for name, config in variants.items() if name in wanted]


def carry_out(
    configs: Sequence[Config], out: Path, *, jobs: int
) -> Iterator[tuple[Config, BaseException | None]]:
    """Complete runs, `jobs` at a time, in order; each as it ends, with what stopped it.

    A run waits for the one it starts from; if that failed, it fails for want of weights.
    """
    todo = [config for config in configs if result(config, out) is None]
    running: dict[Future[Result], Config] = {}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, _alone) as pool:
        while todo or running:
            unfinished = {folder(c) for c in (*todo, *running.values())}
            for config in [c for c in todo if parent(c) not in unfinished][: jobs - len(running)]:
                running[pool.submit(complete, config, out)] = config
                todo.remove(config)
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield running.pop(future), future.exception()


def _alone() -> None:
    """One thread, and no life after the parent's, so that a killed table trains nothing on."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    main = multiprocessing.parent_process()
    assert main is not None

    def follow() -> None:
        main.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def expected_s(config: Config) -> float:
    """CPU seconds that a training and its test should take, by its frames and multiply-adds."""
    price = cost(config)
    test = TEST_CLIPS * config.frames
    arithmetic = price.total + test * price.frame
    return _PER_FRAME_S * (price.frames + test) + _PER_MULTIPLY_ADD_S * arithmetic


def left_s(configs: Sequence[Config], out: Path) -> float:
    """CPU seconds of the runs that are not done, by what the done ones took."""
    known = [(config, result(config, out)) for config in configs]
    timed = [(config, found["cpu_s"]) for config, found in known if found and found["cpu_s"]]
    took, expected = sum(s for _, s in timed), sum(expected_s(config) for config, _ in timed)
    return (took / expected if timed else 1.0) * sum(
        expected_s(config) for config, found in known if found is None
    )
