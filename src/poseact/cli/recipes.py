"""`poseact recipes`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg


@dataclass(frozen=True)
class Recipes:
    """The recipes: network, training, price, data, and the published numbers they are for."""

    names: Annotated[Positional[tuple[str, ...]], arg(metavar="[RECIPE ...]")] = ()
    """Only these; by default all."""

    def run(self) -> int:
        from poseact.train.recipes.shipped import RECIPES, describe

        print("\n\n".join(describe(name) for name in self.names or RECIPES))
        return 0
