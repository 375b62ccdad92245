"""Every published recipe, all its stages, on miniatures of the data that it asks for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from poseact.core.camera import project
from poseact.core.geometry import box_around
from poseact.core.layouts import H36M17, MPII16, NTU25, PENN13, Layout
from poseact.core.types import Camera, Record
from poseact.data.write import write_h36m, write_mpii, write_ntu, write_penn
from poseact.models.spnet import SPNetConfig
from poseact.models.weights import NetworkConfig
from poseact.train.config import Config, Mix
from poseact.train.dry_run import dry_run
from poseact.train.recipes.shipped import recipe
from poseact.train.recipes.tables import EXPERIMENTS

SIDE = 48  # px of the pictures


def person(number: int, frames: int, layout: Layout) -> Record:
    """Somebody of random joints, 4 m away, before noise."""
    rng = np.random.default_rng(number)
    xyz = rng.uniform(-700, 700, (frames, len(layout), 3)) + [0.0, 0.0, 4000.0]
    zero, c, f = np.zeros(3), np.full(2, SIDE / 2), np.full(2, 1.2 * SIDE)
    camera = Camera(R=np.eye(3), t=zero, f=f, c=c, k=zero, p=np.zeros(2))
    xy = project(camera, xyz)[0]
    picture = rng.integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
    return Record(
        lambda _: picture, xy, layout, xyz=xyz, box=box_around(xy), camera=camera, action=number % 2
    )


@pytest.fixture(scope="module")
def miniatures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """$POSEACT_DATA with a few people of each of the four data sets."""
    root = tmp_path_factory.mktemp("data")
    splits = {split: range(3 * i, 3 * i + 3) for i, split in enumerate(("train", "val", "test"))}

    def people(layout: Layout, frames: int, *names: str) -> dict[str, list[Record]]:
        return {s: [person(n, frames, layout) for n in splits[s]] for s in names}

    write_mpii(people(MPII16, 1, "train", "val"), root / "mpii")
    write_penn(people(PENN13, 30, "train", "test"), root / "penn", labels=["bowl", "squat"])
    write_h36m(people(H36M17, 3, "train", "test"), root / "h36m", labels=["Walking", "Eating"])
    write_ntu(people(NTU25, 24, "train", "test"), root / "ntu", labels=["throw", "clapping"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POSEACT_DATA", str(root))
        yield root


def narrow(model: NetworkConfig) -> NetworkConfig:
    """The network with few channels, and few blocks that are only more of the same."""
    if isinstance(model, SPNetConfig):
        wide = None if model.entry_channels is None else 16
        few = {"pose_features": 16, "visual_features": 16, "entry_channels": wide}
        return replace(model, growth=8, levels=2, **few)
    return replace(model, stem_channels=16, depth_maps=4, blocks=2, action_blocks=2)


def small(config: Config) -> Config:
    """The recipe with a narrow network, small crops and two samples of every part in a batch."""

    def few(parts: tuple[Mix, ...]) -> tuple[Mix, ...]:
        return tuple(replace(mix, count=min(mix.count, 2)) for mix in parts)

    stages = [
        replace(stage, mix=few(stage.mix), validation=few(stage.validation))
        for stage in config.stages
    ]
    return replace(
        config,
        model=narrow(config.model),
        stages=tuple(stages),
        size=(64, 64),
        accelerator="cpu",
    )


@pytest.mark.usefixtures("miniatures")
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_stage_of_a_published_recipe_makes_its_step(name: str) -> None:
    config = small(recipe(name))
    lines = list(dry_run(config))
    steps = [line for line in lines if " step: total " in line]
    assert len(steps) == sum(stage.alternating for stage in config.stages)
    assert not [line for line in steps if "nan" in line]
    for stage in config.stages:
        for mix in stage.mix:
            start = f"stage {stage.name}, part {mix.name}: "
            seen = [line for line in lines if line.startswith(start)]
            assert seen and not seen[0].endswith(" 0 records")
        labels = [line for line in lines if " coordinates and " in line]
        assert not [line for line in labels if ", 0 coordinates and 0 classes" in line]
