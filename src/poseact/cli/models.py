"""`poseact models`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Models:
    """The shipped models, and the weights the authors of the original networks published."""

    def run(self) -> int:
        from poseact.models import shipped_models
        from poseact.models.original import zoo

        print(
            "\n\n".join(shipped_models.describe())
            or "no weights are shipped with this installation"
        )
        print("\nPublished by the authors of the original networks; not shipped, never fetched.")
        print(f"Licence: {zoo.LICENCE}.\n")
        print("\n\n".join(zoo.describe()))
        return 0
