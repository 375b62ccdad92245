"""`poseact import-stem`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from poseact.cli.options import Out


@dataclass(frozen=True)
class ImportStem:
    """Pretrained features (MoveNet, VGG-16 of ImageNet) as a file to train from with --stem."""

    source: Annotated[Positional[Path], arg(metavar="FILE")]
    """A .npz, .safetensors or PyTorch state dict (.pth)."""
    out: Out
    """The file to write (NAME.safetensors)."""

    def run(self) -> int:
        from safetensors.torch import save_file

        from poseact.core.files import whole_file
        from poseact.models.pretrained import stem_tensors

        what, tensors = stem_tensors(self.source)
        self.out.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(self.out) as temporary:
            save_file({name: value.contiguous() for name, value in tensors.items()}, temporary)
        print(f"{self.out}: {what}")
        print(f"train from it with: poseact train RECIPE --stem {self.out}")
        return 0
