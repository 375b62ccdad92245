"""Action heads on features that were computed once: which clips come, and how they are changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from experiments import action_heads
from experiments.action_heads import Sampler, changed, computed, joined, parts, train
from poseact.data.sets.clips import LABELS
from poseact.models.spnet import SPNet
from tests.conftest import small_spnet


def clips(count: int, *, seed: int = 0) -> action_heads.Clips:
    rng = torch.Generator().manual_seed(seed)
    features = [torch.rand(count, 4, 17, width, generator=rng).half() for width in (3, 8)]
    return features, torch.arange(count) % 3


def test_rare_classes_come_more_often_than_they_are() -> None:
    features, action = clips(100)
    action[:] = 0
    action[:4] = 1
    sampler = Sampler((features, action), 50, np.random.default_rng(0))
    rare = np.mean([sampler()[1].float().mean().item() for _ in range(40)])
    assert 0.12 < rare < 0.22  # 0.04 of the clips; by the root of their number 0.17


def test_labels_stay_shares_and_appearance_is_sometimes_missing() -> None:
    torch.manual_seed(0)
    features, action = clips(200)
    whole = [f.float() for f in features]
    mixed, label = changed((list(whole), action), np.random.default_rng(0))
    torch.testing.assert_close(label.sum(1), torch.ones(200))
    assert label.shape == (200, len(LABELS)) and (label.max(1).values > 0.45).all()
    assert [m.shape for m in mixed] == [f.shape for f in features]
    assert not torch.equal(mixed[0], whole[0])


def test_parts_have_names_of_their_own_and_the_cache_is_read(tmp_path: Path) -> None:
    mixes = [mix for kind in parts().values() for mix in kind]
    assert len({mix.name for mix in mixes}) == len(mixes) == 12
    features, action = clips(6)
    columns = [f.numpy() for f in features]
    np.savez(tmp_path / f"{mixes[0].name}.npz", *columns, action=action.numpy())
    read, target = computed(mixes[0], 0, SPNet(small_spnet(2)), tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(read, features)) and torch.equal(target, action)
    assert len(joined([(read, target), (read, target)])[1]) == 12


def test_heads_learn_and_the_rest_stays() -> None:
    torch.manual_seed(0)
    model = SPNet(small_spnet(2))
    with torch.inference_mode():
        out = model.frames(torch.rand(32, 3, 32, 32)).features
    features = [f.clone().unflatten(0, (8, 4)).half() for f in out]
    sampler = Sampler((features, torch.arange(8) % 2), 8, np.random.default_rng(0))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    labels, action_heads.LABELS = action_heads.LABELS, ("sit", "stand")
    try:
        after = train(model, [sampler], np.random.default_rng(0), 3).state_dict()
    finally:
        action_heads.LABELS = labels
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved and all(name.startswith("act") or "action" in name for name in moved)
