"""`poseact export`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg

from poseact.cli.options import Exit, Out
from poseact.cli.terminal import Terminal


@dataclass(frozen=True)
class Export:
    """Weights as ONNX files, for `--weights NAME.onnx` and for other programs (an extra)."""

    weights: Annotated[Positional[str], arg(metavar="WEIGHTS")]
    """A shipped model (see `poseact models`) or a weights file."""
    out: Out
    """The file to write (NAME.onnx); action heads go to NAME.actions.onnx beside it."""
    exit: Exit = None
    """Stop at this prediction block: faster, less exact."""

    def run(self) -> int:
        from poseact.export.onnx_file import export_onnx

        written = export_onnx(self.weights, self.out, exit=self.exit, console=Terminal())
        print(*written.files, sep="\n")
        print(
            f"largest differences from PyTorch on a rendered clip: pose {written.pose:.1e}, "
            f"score {written.score:.1e}, action {written.action:.1e}"
        )
        print(f"predict with it: poseact predict IN --weights {self.out}")
        return 0
