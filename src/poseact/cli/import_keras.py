"""`poseact import-keras`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from poseact.cli.options import Out


@dataclass(frozen=True)
class ImportKeras:
    """Weights of the original project (a Keras .h5) as a weights file of this package."""

    source: Annotated[Positional[Path], arg(metavar="FILE")]
    """The Keras file; see `poseact models` for those that were published."""
    out: Out
    """The weights file to write (NAME.safetensors)."""
    config: Annotated[Path | None, arg(metavar="FILE")] = None
    """JSON with the arguments the network was built with. Without it, it is recognised."""
    layout: Annotated[str | None, arg(metavar="NAME")] = None
    """Which joints it has, where the original has no layout of that many."""

    def run(self) -> int:
        from poseact.core.layouts import LAYOUTS
        from poseact.models import weights
        from poseact.models.original.convert import import_file

        model, card = import_file(self.source, config=self.config, layout=self.layout)
        if card.layout not in LAYOUTS:
            raise ValueError(
                f"{self.source} has {model.config.joints} joints, which is no layout of the "
                f"original: say with --layout which they are ({', '.join(LAYOUTS)})"
            )
        weights.save(self.out, model, card)
        actions = "".join(f", {len(names)} actions" for names in card.labels)
        print(f"{self.out}: {card.architecture}, {card.config['dim']}D, {card.layout}{actions}")
        for what, text in card.provenance.items():
            print(f"  {what}: {text}")
        return 0
