"""The folder of a training run.

config.json re-runs the run, log.jsonl has a line every so many steps, checkpoint.pt everything to
go on (written whole or not at all), best.safetensors the averaged weights of the best check on
held-out data, and at the end weights.safetensors those of the last step. bad_batch.json names the
records of a batch that could not be learnt from.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from poseact.core.console import SILENT, Console
from poseact.core.files import remove_unfinished, whole_file, write_text


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
            if json.loads(note.read_text()) != json.loads(config_json):
                raise ValueError(
                    f"{note} is the configuration of another run; choose another folder"
                )
            remove_unfinished(self.path)  # of the run that was stopped
            return
        write_text(note, config_json)

    def read_checkpoint(self) -> dict[str, Any] | None:
        """The last checkpoint, or None before the first. Only tensors and numbers are read."""
        path = self.path / "checkpoint.pt"
        return torch.load(path, map_location="cpu", weights_only=True) if path.is_file() else None

    def save_checkpoint(self, state: dict[str, Any]) -> None:
        if self.writes:
            with whole_file(self.path / "checkpoint.pt") as part:
                torch.save(state, part)


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
            lines = self.path.read_text().splitlines()
            kept = [line for line in lines if json.loads(line)["step"] <= step]
            write_text(self.path, "".join(line + "\n" for line in kept))

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
