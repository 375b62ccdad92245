import math
import subprocess
import sys

import jaxtyping
import pytest
import torch
import torch.nn.functional as F

from poseact.models import layers


def painted(h: int, w: int, row: int, column: int) -> torch.Tensor:
    prob = torch.zeros(1, 1, h, w)
    prob[..., row, column] = 1
    return prob


@pytest.mark.parametrize("cell_centres", [True, False])
def test_soft_argmax_reads_the_painted_cell(cell_centres: bool) -> None:
    for row, column in [(0, 0), (3, 5), (7, 15)]:
        u, v = layers.soft_argmax(painted(8, 16, row, column), cell_centres=cell_centres)[0, 0]
        if cell_centres:
            assert (u, v) == pytest.approx(((column + 0.5) / 16, (row + 0.5) / 8))
        else:
            assert (u, v) == pytest.approx((column / 15, row / 7))


def test_the_papers_grid_counts_columns_from_zero_to_one() -> None:
    """c / W of CVPR Eq. 2 and TPAMI Eq. 8: half a cell left of and above the cells' centres."""
    for row, column in [(0, 0), (3, 5), (7, 15)]:
        u, v = layers.soft_argmax(painted(8, 16, row, column), cell_centres="text")[0, 0]
        assert (u, v) == pytest.approx((column / 16, row / 8))


@pytest.mark.parametrize("cell_centres", [True, False, "text"])
def test_annotated_maps_are_read_as_the_joints_they_are_of(cell_centres: layers.Cells) -> None:
    nan = float("nan")
    pose = torch.tensor([[0.3, 0.7, 0.9], [0.5, 0.5, nan], [nan, nan, nan], [1.2, 0.5, 0.5]])[None]
    maps, given, score = layers.annotated_maps(
        pose, torch.zeros(1, 4, 6, 9), cell_centres=cell_centres
    )
    uv = layers.soft_argmax(maps, cell_centres=cell_centres)
    assert uv[0, :2] == pytest.approx(pose[0, :2, :2], abs=1e-6)
    assert (maps > 0).sum((-2, -1))[0].tolist()[2:] == [0, 0] and int((maps > 0).sum()) <= 8
    assert score[0].tolist() == [1, 1, 0, 0]
    expected = [[0.3, 0.7, 0.9], [0.5, 0.5, 0.5], [0, 0, 0], [0, 0, 0]]
    assert given[0] == pytest.approx(torch.tensor(expected))


def test_both_grids_put_the_middle_in_the_middle() -> None:
    even = torch.full((1, 6, 10), 1 / 60)
    for cell_centres in (True, False):
        assert layers.soft_argmax(even, cell_centres=cell_centres) == pytest.approx(
            torch.full((1, 2), 0.5)
        )
        assert layers.soft_argmax_1d(
            torch.full((7,), 1 / 7), cell_centres=cell_centres
        ) == pytest.approx(0.5)


def test_spatial_softmax_sums_to_one_and_sharpens_with_alpha() -> None:
    logits = torch.randn(2, 3, 5, 7)
    prob = layers.spatial_softmax(logits)
    assert prob.sum((-2, -1)) == pytest.approx(torch.ones(2, 3), abs=1e-6)
    assert bool((layers.spatial_softmax(logits, 4.0).amax((-2, -1)) > prob.amax((-2, -1))).all())


def test_expected_depth_reads_under_the_heat_map() -> None:
    depth = torch.randn(1, 1, 4, 4)
    assert layers.expected_depth(painted(4, 4, 2, 1), depth) == pytest.approx(
        depth[..., 2, 1].sigmoid()
    )


def test_confidences_follow_their_definitions() -> None:
    maps = torch.randn(2, 3, 5, 6)
    windows = maps[..., :-1, :-1] + maps[..., :-1, 1:] + maps[..., 1:, :-1] + maps[..., 1:, 1:]
    assert layers.window_sum_confidence(maps) == pytest.approx(windows.amax((-2, -1)), abs=1e-6)
    assert layers.max_confidence(maps) == pytest.approx(maps.flatten(-2).max(-1).values)
    expected = torch.sigmoid(maps.flatten(-2).max(-1).values)
    assert layers.sigmoid_max_confidence(maps) == pytest.approx(expected)
    one_window = torch.zeros(1, 1, 4, 4)
    one_window[..., 1:3, 1:3] = 0.25
    assert layers.window_sum_confidence(one_window).item() == pytest.approx(1)
    assert layers.window_sum_confidence(torch.ones(2, 3, 1, 1)).tolist() == [[1.0] * 3] * 2
    assert layers.max_confidence(one_window).item() == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "expected"),
    [
        (256, 3, 2, (0, 1)),
        (256, 7, 2, (2, 3)),
        (32, 2, 1, (0, 1)),
        (9, 2, 2, (0, 1)),
        (8, 5, 1, (2, 2)),
    ],
)
def test_same_padding_is_tensorflows(size, kernel, stride, expected) -> None:
    assert layers.same_padding(size, kernel, stride) == expected


def test_strided_convolution_samples_where_tensorflow_does() -> None:
    """With an even size, a 3x3 kernel at stride 2 is centred on odd pixels: 1, 3, 5 ..."""
    conv = layers.ConvSame(1, 1, (3, 3), stride=2)
    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[0, 0, 1, 1] = 1
    x = torch.arange(64.0).view(1, 1, 8, 8)
    assert torch.equal(conv(x), x[..., 1::2, 1::2])


def test_pooling_with_odd_sizes_keeps_the_last_column() -> None:
    x = torch.arange(15.0).view(1, 1, 3, 5)
    assert layers.max_pool_same(x, (2, 2), (2, 2)).tolist() == [[[[6, 8, 9], [11, 13, 14]]]]


def test_max_min_pooling_keeps_either_sign() -> None:
    x = torch.tensor([[[[1.0, -5.0], [2.0, 0.0]]]])
    assert layers.max_min_pool(x).item() == 2 - 5
    assert layers.global_max_min(x).item() == 2 - 5


def test_joint_pool_is_the_heat_weighted_mean() -> None:
    features = torch.randn(2, 5, 4, 6)
    prob = layers.spatial_softmax(torch.randn(2, 3, 4, 6))
    expected = torch.einsum("njhw,nchw->njc", prob, features)
    assert layers.joint_pool(prob, features) == pytest.approx(expected, abs=1e-5)


def test_glorot_bounds() -> None:
    torch.manual_seed(0)
    plain = layers.ConvSame(8, 16, (3, 3)).weight.abs().max().item()
    assert plain <= math.sqrt(6 / (72 + 144)) and plain > 0.9 * math.sqrt(6 / (72 + 144))
    deep = layers.ConvSame(64, 64, (5, 5), groups=64).weight.abs().max().item()
    assert deep <= math.sqrt(6 / (65 * 25)) and deep > 0.9 * math.sqrt(6 / (65 * 25))


@torch.no_grad()
def test_residual_unit_passes_its_input_when_it_can() -> None:
    unit = layers.ResidualUnit(6, 6, (3, 3))
    torch.nn.init.zeros_(unit.conv1.pointwise.weight)
    x = torch.randn(2, 6, 5, 5)
    assert torch.equal(unit(x), x)
    changed = layers.ResidualUnit(6, 4, (3, 3), stride=2, divide=2)
    assert changed(x).shape == (2, 4, 3, 3)
    assert changed.shortcut_conv is not None
    torch.nn.init.zeros_(changed.conv2.weight)
    expected = changed.shortcut_conv(F.relu(changed.bn1(x)))
    changed.bn1.reset_running_stats()
    assert changed(x) == pytest.approx(expected, abs=1e-6)


def test_signatures_are_checked() -> None:
    """The import hook of conftest.py is at work: a batch of another length is caught."""
    with pytest.raises(jaxtyping.TypeCheckError):
        layers.joint_pool(torch.rand(2, 3, 4, 4), torch.rand(3, 5, 4, 4))


def test_a_strided_pointwise_convolution_is_the_usual_one() -> None:
    conv = layers.ConvSame(3, 4, stride=2)
    x = torch.randn(2, 3, 7, 8)
    expected = F.conv2d(x, conv.weight, stride=2)
    assert torch.allclose(conv(x), expected, atol=1e-6)


def test_narrow_networks_do_not_break_the_heap() -> None:
    """Gradients of strided 1x1 kernels of few channels: in a process that may crash."""
    code = (
        "import torch; from poseact.models.layers import ConvSame; torch.set_num_threads(1)\n"
        "for _ in range(60):\n"
        "    for c, o in ((1, 1), (3, 2), (4, 4)):\n"
        "        conv = ConvSame(c, o, stride=2).to(memory_format=torch.channels_last)\n"
        "        x = torch.randn(4, c, 8, 8).to(memory_format=torch.channels_last)\n"
        "        conv(x.requires_grad_()).sum().backward()\n"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
