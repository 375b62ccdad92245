"""`poseact demo`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from poseact.cli.options import Out
from poseact.cli.terminal import Terminal


@dataclass(frozen=True)
class Demo:
    """A first result with no data at all: rendered people, poses, actions, a page."""

    out: Out = Path("poseact_demo")
    """Folder for what it makes."""

    def run(self) -> int:
        from poseact.evaluate.demo import demo

        files = demo(self.out, console=Terminal())
        print("\nfiles to open:", *(f"  {path}" for path in files), sep="\n")
        return 0
