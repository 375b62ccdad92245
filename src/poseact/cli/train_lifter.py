"""`poseact train lifter`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional, Suppress, arg

from poseact.cli.options import Out
from poseact.cli.terminal import Terminal


@dataclass(frozen=True)
class TrainLifter:
    """Train a lifter of 2D joints to 3D (Pham et al. 2019), then measure it on held-out people.

    Any further --setting VALUE replaces one of the recipe's, such as --epochs 2.
    """

    recipe: Annotated[Positional[Literal["mocap", "pham"]], arg(metavar="RECIPE")]
    """mocap: for two cores, on motion capture; pham: the paper's, on Human3.6M."""
    root: Annotated[Path, arg(metavar="DIR")]
    """Folder of the data."""
    out: Out
    """Folder of the run."""
    resume: bool = False
    """Go on from its checkpoint."""
    overrides: Annotated[tuple[str, ...], Suppress] = ()
    """What `parse` leaves for the recipe."""

    def run(self) -> int:
        from poseact.models import weights
        from poseact.skeletons.learn.lifter import RECIPES, Recipe, fit, report

        recipe = tyro.cli(
            Recipe,
            default=RECIPES[self.recipe],
            args=self.overrides,
            prog=f"poseact train lifter {self.recipe}",
        )
        path = fit(recipe, self.root, self.out, resume=self.resume, console=Terminal())
        print(f"{path}\n{report(recipe, self.root, weights.load_lifter(path).model)}")
        return 0
