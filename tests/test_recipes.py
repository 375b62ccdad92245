import pytest
import torch

from poseact import train
from poseact.models.spnet import SPNet
from poseact.people.motions import ACTIONS
from poseact.recipes import RECIPES


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_are_whole(name: str) -> None:
    """Every recipe builds its network, fits its labels and survives its own file."""
    config = RECIPES[name]()
    assert config.name == name
    assert train.from_json(train.to_json(config)) == config
    with torch.device("meta"):
        model = SPNet(config.model)
    assert config.size[0] % model.stride == config.size[1] % model.stride == 0
    assert tuple(map(len, config.labels)) == config.model.actions
    for stage in config.stages:
        for mix in stage.mix:
            assert mix.frames in (1, config.frames)
            if mix.people is not None:
                assert mix.people.split == "train" and mix.people.fps == config.fps


def test_the_small_network_is_small() -> None:
    config = RECIPES["spnet_s"]()
    with torch.device("meta"):
        model = SPNet(config.model)
    assert sum(p.numel() for p in model.parameters()) < 2e6
    assert config.labels == (ACTIONS,)
