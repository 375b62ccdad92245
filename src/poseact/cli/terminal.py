"""What the commands say on the terminal: lines, one-line errors, bars with rate and time left."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress


def complain(error: object) -> None:
    """One line on stderr."""
    print("poseact:", " ".join(str(error).split()), file=sys.stderr)


class Terminal:
    """The `core.console.Console` of the command line."""

    def say(self, line: str) -> None:
        print(line, flush=True)

    def warn(self, line: str) -> None:
        complain(line)

    @contextmanager
    def bar(
        self, title: str, total: int, *, unit: str = "frames"
    ) -> Iterator[Callable[[int], None]]:
        with progress(unit) as bars:
            task = bars.add_task(title, total=total)
            yield lambda steps: bars.advance(task, steps)


def progress(unit: str = "frames") -> Progress:
    """Bars with rate and time left, on a terminal only."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text("" if task.speed is None else f"{task.speed:.1f} {unit}/s")

    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
