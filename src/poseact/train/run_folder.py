"""The folder of a training run.

config.json re-runs the run, log.jsonl has a line every so many steps, checkpoint.pt everything to
go on (written whole or not at all), checkpoint.previous.pt the one before it, best.safetensors the
averaged weights of the best check on held-out data, and at the end weights.safetensors those of the
last step. bad_batch.json names the records of a batch that could not be learnt from.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from poseact.core.console import SILENT, Console
from poseact.core.files import keep_former, remove_unfinished, whole_file, write_text
from poseact.core.reading import read_json, understood

CHECKPOINT, PREVIOUS = "checkpoint.pt", "checkpoint.previous.pt"


class RunFolder:
    """Files of one run, and the console that hears of its progress.

    `writes` is False in all processes of a parallel run but the first.
    """

    def __init__(self, path: Path, *, writes: bool = True, console: Console = SILENT) -> None:
        self.path, self.writes, self.console = path, writes, console

    def claim(self, config_json: str, *, resume: bool) -> None:
        """Write config.json, or make sure the folder holds this very run.

        ValueError if it holds a run and `resume` is off, or if it holds another one.
        """
        if not self.writes:
            return
        note = self.path / "config.json"
        if note.is_file():
            if not resume:
                raise ValueError(f"{self.path} holds a run already; resume it or choose another")
            if read_json(note) != json.loads(config_json):
                raise ValueError(
                    f"{note} is the configuration of another run; choose another folder"
                )
            remove_unfinished(self.path)  # of the run that was stopped
            return
        write_text(note, config_json)

    def read_checkpoint(self) -> dict[str, Any] | None:
        """The last checkpoint, or None before the first. Only tensors and numbers are read."""
        path, previous = self.path / CHECKPOINT, self.path / PREVIOUS
        if not path.is_file() and not previous.is_file():
            return None
        try:
            return _checkpoint(path)
        except (ValueError, FileNotFoundError) as error:
            if not previous.is_file():
                raise
            found = _checkpoint(previous)
            if self.writes:
                self.console.warn(f"{error}; going on from {previous.name}")
            return found

    def save_checkpoint(self, state: dict[str, Any]) -> None:
        """The one before stays as checkpoint.previous.pt."""
        if self.writes:
            keep_former(self.path / CHECKPOINT, self.path / PREVIOUS)
            with whole_file(self.path / CHECKPOINT) as part:
                torch.save(state, part)


def _checkpoint(path: Path) -> dict[str, Any]:
    with understood(path):
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, dict):
            raise ValueError(f"{path}: a checkpoint is a table of tensors and numbers")
        return state


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a log.jsonl. A last one that was cut off, by a kill, is left out.

    ValueError names the file and the line that is none of a log.
    """
    with understood(path):
        texts = path.read_bytes().decode("utf-8", "replace").splitlines()
    lines: list[dict[str, Any]] = []
    for number, text in enumerate(texts, 1):
        try:
            line = json.loads(text)
        except (ValueError, RecursionError) as error:
            if number == len(texts):
                break
            raise ValueError(f"{path}, line {number}: not a line of a log ({error})") from None
        if not isinstance(line, dict) or not _of_log(line):
            raise ValueError(f"{path}, line {number}: not a line of a log, with step and numbers")
        lines.append(line)
    return lines


def _of_log(line: dict[str, Any]) -> bool:
    """Whether it has a step and a stage, and numbers besides."""
    numbers = [value for name, value in line.items() if name != "stage"]
    step = line.get("step")
    plain = all(type(n) in (int, float) and abs(n) < 1e300 or n != n for n in numbers)
    return type(step) is int and isinstance(line.get("stage"), str) and plain


def open_board(path: Path, step: int) -> Any:
    """A TensorBoard writer that forgets what came after `step`; ImportError says the mend."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ImportError(
            f"--tensorboard needs TensorBoard ({error}): pip install 'poseact[tensorboard]'"
        ) from None
    return SummaryWriter(str(path), purge_step=step + 1)


class Log:
    """Means of the losses since the last line, to log.jsonl, the folder's console and a `board`."""

    def __init__(
        self, folder: RunFolder, step: int, total: int, *, board: Any | None = None
    ) -> None:
        self.path, self.writes, self.total = folder.path / "log.jsonl", folder.writes, total
        self.board, self.console = board, folder.console
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}
        self.start_s, self.start_step = time.monotonic(), step
        if self.writes and self.path.is_file():  # what came after the checkpoint is done anew
            kept = [line for line in read_log(self.path) if line["step"] <= step]
            write_text(self.path, "".join(json.dumps(line) + "\n" for line in kept))

    def add(self, values: dict[str, Tensor]) -> None:
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, torch.zeros_like(value)) + value
            self.counts[name] = self.counts.get(name, 0) + 1

    def write(self, step: int, stage: str, lr: float) -> None:
        """One line with the means since the last one, and on the console the time left."""
        means = {name: round(float(s) / self.counts[name], 6) for name, s in self.sums.items()}
        self.sums, self.counts = {}, {}
        if not self.writes:
            return
        elapsed_s = time.monotonic() - self.start_s
        rate = (step - self.start_step) / max(elapsed_s, 1e-9)
        line = {"step": step, "stage": stage, "lr": lr, "steps_per_s": round(rate, 3), **means}
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        if self.board is not None:
            for name, value in line.items():
                if isinstance(value, float):
                    self.board.add_scalar(name, value, step)
            self.board.flush()
        left_min = (self.total - step) / max(rate, 1e-9) / 60
        text = "  ".join(f"{name} {value:.4f}" for name, value in means.items())
        self.console.say(
            f"{stage} {step}/{self.total}  {text}  {rate:.2f} steps/s  {left_min:.1f} min left"
        )
