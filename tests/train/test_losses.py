"""Losses: their equations by hand, masks and NaN, gradients, and the original project's numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from conftest import SHARED
from poseact.train.losses import (
    REACH,
    action_cross_entropy,
    confidence_bce,
    deephar_pose_loss,
    elastic_net,
    heatmap_cross_entropy,
    is_right,
    masked_mean,
)

FUNCTIONS = SHARED / "parity/public/functions/functions.npz"
needs_parity = pytest.mark.skipif(not FUNCTIONS.exists(), reason=f"no parity data at {FUNCTIONS}")
NAN = float("nan")


def uniform(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def gradient(loss: torch.Tensor, of: torch.Tensor) -> torch.Tensor:
    return torch.autograd.grad(loss, of)[0]


def test_masked_mean_is_the_mean_of_what_the_mask_keeps():
    values, mask = uniform(3, 4, 5), uniform(3, 4, 5, seed=1) > 0.4
    assert masked_mean(values, mask).item() == pytest.approx(values[mask].mean().item())


def test_masked_mean_broadcasts_its_mask_and_counts_elements():
    values, mask = uniform(3, 4, 2), torch.tensor([True, False, True, False])[:, None]
    expected = values[:, ::2].mean().item()
    assert masked_mean(values, mask).item() == pytest.approx(expected)


def test_masked_mean_of_nothing_is_zero_and_can_be_differentiated():
    values = uniform(3, 4).requires_grad_()
    loss = masked_mean(values, torch.zeros(3, 4, dtype=torch.bool))
    assert loss.item() == 0 and torch.equal(gradient(loss, values), torch.zeros(3, 4))


def test_masked_mean_weighs_and_ignores_nan_where_the_weight_is_zero():
    values, weight = torch.tensor([1.0, 4.0, NAN]), torch.tensor([3.0, 1.0, 0.0])
    assert masked_mean(values, weight).item() == pytest.approx(7 / 4)


def test_a_joint_is_right_within_a_share_of_the_poses_longer_side():
    pose = torch.tensor([[[0.1, 0.1, NAN], [0.1, 0.9, NAN], [0.3, 0.5, NAN], [NAN, NAN, NAN]]])
    pred = pose.nan_to_num(0.5)
    pred[0, 0, 0] += REACH * 0.8 - 1e-3
    pred[0, 1, 1] += REACH * 0.8 + 1e-3
    assert is_right(pred, pose).tolist() == [[True, False, True, False]]


def test_elastic_net_by_hand():
    loss = elastic_net(torch.tensor([[0.5, 0.25]]), torch.tensor([[0.25, 0.75]]))
    assert loss.tolist() == [[0.25 + 0.0625, 0.5 + 0.25]]


def test_unknown_targets_change_neither_loss_nor_gradient_of_the_others():
    pred, target = uniform(2, 4, 3).requires_grad_(), uniform(2, 4, 3, seed=1)
    target[0, 1] = NAN
    target[1, :, 2] = NAN  # a 2D-only sample
    valid = ~target.isnan()
    found = gradient(masked_mean(elastic_net(pred, target), valid), pred)
    d = pred.detach() - target
    expected = torch.where(valid, d.sign() + 2 * d, 0.0) / valid.sum()
    assert torch.allclose(found, expected)


def test_an_unknown_point_leaves_the_gradients_of_other_heat_maps_alone():
    logits, uv = uniform(2, 3, 8, 8).requires_grad_(), uniform(2, 3, 2, seed=1)
    uv[0, 1, 0] = NAN
    loss = heatmap_cross_entropy(logits, uv, cell_centres=True)
    found = gradient(masked_mean(loss, ~uv.isnan().any(-1)), logits)
    assert found.isfinite().all()
    assert not found[0, 1].any() and found[0, 0].any()


def test_an_unknown_joint_leaves_the_gradients_of_the_original_loss_alone():
    pred, target = uniform(2, 3, 2).requires_grad_(), uniform(2, 3, 2, seed=1)
    target[0, 1] = NAN
    found = gradient(deephar_pose_loss(pred, target).sum(), pred)
    assert found.isfinite().all()
    assert not found[0, 1].any() and found[0, 0].all()


def test_confidence_is_binary_cross_entropy():
    score, inside = uniform(4, 16) * 0.98 + 0.01, uniform(4, 16, seed=1) > 0.5
    expected = F.binary_cross_entropy(score, inside.float(), reduction="none")
    assert torch.allclose(confidence_bce(score, inside), expected, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_confidence_of_exactly_or_just_above_one_stays_finite(dtype: torch.dtype):
    score = torch.tensor([1.0, 1.0 + 1e-6, 0.0, 1.0], dtype=dtype, requires_grad=True)
    loss = confidence_bce(score, torch.tensor([True, True, True, False]))
    assert loss[:2].max() < 1e-5 and loss[2:].min() > 13 and loss.max() < 14
    assert gradient(loss.sum(), score).isfinite().all()


def test_action_loss_is_the_mean_over_labelled_rows():
    logits, target = uniform(5, 7) * 4, torch.tensor([3, -1, 0, 6, -1])
    rows = target >= 0
    loss = action_cross_entropy(logits, target, label_smoothing=0.1)
    expected = F.cross_entropy(logits[rows], target[rows], label_smoothing=0.1)
    assert loss.item() == pytest.approx(expected.item())
    plain = -logits.log_softmax(-1)[rows, target[rows]].mean()
    assert action_cross_entropy(logits, target).item() == pytest.approx(plain.item())


def test_action_loss_of_a_batch_without_actions_is_zero_with_a_gradient():
    logits = uniform(2, 7).requires_grad_()
    loss = action_cross_entropy(logits, torch.tensor([-1, -1]))
    assert loss.item() == 0 and not gradient(loss, logits).any()


def grid(n: int, *, cell_centres: bool) -> torch.Tensor:
    return (torch.arange(n) + 0.5) / n if cell_centres else torch.linspace(0, 1, n)


def target_of(uv: torch.Tensor, h: int, w: int, *, cell_centres: bool) -> torch.Tensor:
    """The target distribution (J, h, w), read off the gradient: softmax - target."""
    logits = torch.zeros(len(uv), h, w, requires_grad=True)
    loss = heatmap_cross_entropy(logits, uv, cell_centres=cell_centres).sum()
    return 1 / (h * w) - gradient(loss, logits)


@pytest.mark.parametrize("cell_centres", [True, False])
def test_the_heat_map_target_is_a_distribution_over_four_cells_with_the_point_as_mean(cell_centres):
    h, w = 6, 9
    uv = uniform(50, 2) * 0.8 + 0.1  # within the outermost centres
    target = target_of(uv, h, w, cell_centres=cell_centres)
    assert torch.allclose(target.sum((1, 2)), torch.ones(50), atol=1e-5)
    assert target.min() > -1e-6 and ((target > 1e-5).sum((1, 2)) <= 4).all()
    u = (target.sum(1) * grid(w, cell_centres=cell_centres)).sum(1)
    v = (target.sum(2) * grid(h, cell_centres=cell_centres)).sum(1)
    assert torch.allclose(torch.stack([u, v], 1), uv, atol=1e-5)


@pytest.mark.parametrize("cell_centres", [True, False])
def test_a_point_on_a_cell_and_one_beyond_the_border_take_a_single_cell(cell_centres):
    h, w = 4, 5
    on_cell = [grid(w, cell_centres=cell_centres)[3], grid(h, cell_centres=cell_centres)[1]]
    uv = torch.tensor([on_cell, [-0.3, 1.7], [1.0, 0.0]])
    target = target_of(uv, h, w, cell_centres=cell_centres)
    for joint, (row, column) in enumerate([(1, 3), (3, 0), (0, 4)]):
        assert target[joint, row, column].item() == pytest.approx(1, abs=1e-5)


def test_the_heat_map_loss_is_the_cross_entropy_against_that_target():
    logits, uv = uniform(2, 3, 6, 9) * 5, uniform(2, 3, 2, seed=1)
    target = target_of(uv.reshape(6, 2), 6, 9, cell_centres=True).reshape(2, 3, 54)
    expected = -(target * logits.flatten(2).log_softmax(-1)).sum(-1)
    loss = heatmap_cross_entropy(logits, uv, cell_centres=True)
    assert loss.shape == (2, 3) and torch.allclose(loss, expected, atol=1e-4)


def test_descending_the_heat_map_loss_moves_the_soft_argmax_onto_the_point():
    logits = torch.zeros(1, 8, 8, requires_grad=True)
    uv = torch.tensor([[0.33, 0.71]])
    for _ in range(400):
        loss = heatmap_cross_entropy(logits, uv, cell_centres=True).sum()
        logits = (logits - 5 * gradient(loss, logits)).detach().requires_grad_()
    prob = logits.detach().flatten().softmax(0).reshape(8, 8)
    cells = grid(8, cell_centres=True)
    found = torch.stack([(prob.sum(0) * cells).sum(), (prob.sum(1) * cells).sum()])
    assert torch.allclose(found, uv[0], atol=0.01)


def test_the_original_loss_by_hand():
    pred = torch.tensor([[[0.5, 0.2], [0.9, 0.9]]])
    target = torch.tensor([[[0.25, -1e9], [NAN, 0.0]]])  # only one coordinate counts
    bce = -(0.25 * np.log(0.5) + 0.75 * np.log(0.5))
    expected = 0.25 + 0.0625 + 0.01 * bce
    assert deephar_pose_loss(pred, target).tolist() == pytest.approx([expected])
    assert deephar_pose_loss(pred, torch.full((1, 2, 2), NAN)).tolist() == [0]


@needs_parity
@pytest.mark.parametrize("case", ["frame2d", "frame3d", "clip3d"])
def test_the_original_loss_gives_the_original_numbers(case: str):
    stored = np.load(FUNCTIONS)
    true, pred = (torch.from_numpy(stored[f"loss_{case}_{name}"]) for name in ("true", "pred"))
    pose = deephar_pose_loss(pred[..., :-1], true[..., :-1])
    confidence = confidence_bce(pred[..., -1], true[..., -1] > 0.5).mean(-1)
    loss = pose + 0.01 * confidence  # the original's pose_regression_loss("l1l2bincross", 0.01)
    if case == "clip3d":
        loss = loss.mean(-1)
    assert np.allclose(loss, stored[f"loss_{case}_l1l2bincross"], atol=2e-6)


@needs_parity
@pytest.mark.parametrize("case", ["frame2d", "frame3d"])
def test_elastic_net_is_the_original_l1l2_up_to_its_mean(case: str):
    stored = np.load(FUNCTIONS)
    true, pred = (torch.from_numpy(stored[f"loss_{case}_{name}"]) for name in ("true", "pred"))
    target = torch.where(true > 0, true, NAN)[..., :-1]
    for i in range(len(true)):
        pose = masked_mean(elastic_net(pred[i, :, :-1], target[i]), ~target[i].isnan())
        confidence = confidence_bce(pred[i, :, -1], true[i, :, -1] > 0.5).mean()
        expected = stored[f"loss_{case}_l1l2"][i]
        assert (pose + 0.01 * confidence).item() == pytest.approx(expected, abs=2e-6)
