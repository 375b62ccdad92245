"""Test-time procedures with a tiny network: each is a mean of single answers, and knows its limits.

Where the place of a person matters, a hand-made network reads painted joints, exactly.
"""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from poseact.core.layouts import PA17
from poseact.core.types import Output, Record
from poseact.data.dataset import clip_indices
from poseact.data.sets import deephar
from poseact.evaluate import metrics
from poseact.inference.procedures import (
    FLIP,
    MULTI_CROP,
    RELEASED,
    SINGLE,
    ClipProtocol,
    View,
    clip_starts,
    initial_box,
    multi_clip,
    predict_poses,
    single_clip,
    straight_crop,
)
from poseact.models.spnet import SPNet, SPNetConfig
from poseact.models.weights import Card

TWINS = list(PA17.flip)
BOX = np.array([14.4, 14.4, 65.6, 65.6])  # times the card's 1.25: the pixels 8..72, one for one
T = 8


def picture(seed: int, side: int = 80) -> np.ndarray:
    """Soft blobs: unlike noise they survive a crop that is not pixel for pixel."""
    coarse = np.random.default_rng(seed).integers(0, 256, (side // 8, side // 8, 3), np.uint8)
    return deephar.resize(coarse, (side, side))


def record(length: int, *, box: np.ndarray | None = BOX) -> Record:
    frames = [picture(t) for t in range(length)]
    boxes = None if box is None else np.repeat(box[None], length, 0)
    return Record(frames.__getitem__, np.zeros((length, 17, 2)), PA17, box=boxes)


def by_hand(model: SPNet, images: list[np.ndarray]) -> Output:
    """The network on the pixels 8..72 of 80 x 80 pictures, as one clip."""
    crops = torch.from_numpy(np.stack(images)[:, 8:72, 8:72]).permute(0, 3, 1, 2)
    with torch.inference_mode():
        return model(crops[None].float() / 127.5 - 1)


# ------------------------------------------------------------------------------- poses


def test_a_single_view_is_the_network_on_the_crop(tiny: SPNet, tiny_card: Card) -> None:
    images = [picture(0), picture(1)]
    found = predict_poses(tiny, tiny_card, images, BOX)
    out = by_hand(tiny, images)
    np.testing.assert_allclose(found.xy, 8 + 64 * out.poses[-1][0, ..., :2], atol=1e-3)
    assert found.depth is not None
    np.testing.assert_allclose(found.depth, out.poses[-1][0, ..., 2], atol=1e-5)
    np.testing.assert_allclose(found.score, out.scores[-1][0], atol=1e-5)


def test_a_2d_network_has_no_depth(tiny_config: SPNetConfig, tiny_card: Card) -> None:
    flat = replace(tiny_config, dim=2)
    model = SPNet(flat).eval()
    card = replace(tiny_card, config=dataclasses.asdict(flat))
    assert predict_poses(model, card, [picture(0)], BOX).depth is None


def test_flip_average_of_a_symmetric_picture_is_symmetric(tiny: SPNet, tiny_card: Card) -> None:
    image = picture(0)
    image[:, 40:] = image[:, 39::-1]
    found = predict_poses(tiny, tiny_card, [image], BOX, views=FLIP)
    mirrored = (found.xy * [-1, 1] + [80, 0])[:, TWINS]
    np.testing.assert_allclose(found.xy, mirrored, atol=1e-3)
    np.testing.assert_allclose(found.score, found.score[:, TWINS], atol=1e-5)
    assert found.depth is not None
    np.testing.assert_allclose(found.depth, found.depth[:, TWINS], atol=1e-5)
    alone = predict_poses(tiny, tiny_card, [image], BOX).xy
    assert np.abs(alone - (alone * [-1, 1] + [80, 0])[:, TWINS]).max() > 0.05


def test_flip_average_of_the_mirror_image_is_the_mirrored_person(
    tiny: SPNet, tiny_card: Card
) -> None:
    image = picture(3)
    found = predict_poses(tiny, tiny_card, [image], BOX, views=FLIP)
    mirrored = predict_poses(
        tiny, tiny_card, [np.ascontiguousarray(image[:, ::-1])], BOX, views=FLIP
    )
    np.testing.assert_allclose(mirrored.xy, (found.xy * [-1, 1] + [80, 0])[:, TWINS], atol=1e-3)
    np.testing.assert_allclose(mirrored.score, found.score[:, TWINS], atol=1e-5)


def test_multi_crop_is_the_mean_of_its_ten_crops(tiny: SPNet, tiny_card: Card) -> None:
    assert len(MULTI_CROP) == 10
    assert {view.flip for view in MULTI_CROP} == {False, True}
    assert len({view.shift for view in MULTI_CROP}) == 5
    images = [picture(4, 120), picture(5, 120)]
    box = np.array([30.0, 20, 90, 80])
    each = [predict_poses(tiny, tiny_card, images, box, views=(view,)) for view in MULTI_CROP]
    found = predict_poses(tiny, tiny_card, images, box, views=MULTI_CROP)
    np.testing.assert_allclose(found.xy, np.mean([p.xy for p in each], 0), atol=1e-3)
    np.testing.assert_allclose(found.score, np.mean([p.score for p in each], 0), atol=1e-5)
    assert np.std([p.xy for p in each], 0).max() > 0.1


def test_multi_crop_of_a_constant_picture_is_its_predict_poses(
    tiny: SPNet, tiny_card: Card, views=FLIP
) -> None:
    """All crops look alike, and their displacements cancel."""
    image = np.full((160, 160, 3), 90, np.uint8)
    box = np.array([60.0, 60, 100, 100])
    found = predict_poses(tiny, tiny_card, [image], box, views=MULTI_CROP)
    other = predict_poses(tiny, tiny_card, [image], box, views=FLIP)
    np.testing.assert_allclose(found.xy, other.xy, atol=1e-3)
    np.testing.assert_allclose(found.score, other.score, atol=1e-5)


def test_a_view_is_a_window_of_its_scale_and_place(tiny: SPNet, tiny_card: Card) -> None:
    image, box = picture(6, 160), np.array([50.0, 40, 110, 100])
    shifted = predict_poses(
        tiny, tiny_card, [image], box, views=(View(scale=0.8, shift=(0.1, -0.2)),)
    )
    side = 60 * 0.8 * tiny_card.margin
    centre = np.array([80.0, 70]) + side * np.array([0.1, -0.2])
    half = side / tiny_card.margin / 2
    other = predict_poses(tiny, tiny_card, [image], np.concatenate([centre - half, centre + half]))
    np.testing.assert_allclose(shifted.xy, other.xy, atol=1e-3)


def test_the_originals_crop_does_as_well(tiny: SPNet, tiny_card: Card) -> None:
    images = [picture(7)]
    ours = predict_poses(tiny, tiny_card, images, BOX, views=MULTI_CROP).xy
    theirs = predict_poses(tiny, tiny_card, images, BOX, crop=deephar.crop, views=MULTI_CROP).xy
    assert np.abs(ours - theirs).max() < 1.0
    pixel_for_pixel = [
        predict_poses(tiny, tiny_card, images, BOX, views=FLIP),
        predict_poses(tiny, tiny_card, images, BOX, crop=deephar.crop, views=FLIP),
    ]
    np.testing.assert_allclose(pixel_for_pixel[0].xy, pixel_for_pixel[1].xy, atol=1e-3)


def test_nothing_to_look_at_is_refused(tiny: SPNet, tiny_card: Card) -> None:
    with pytest.raises(ValueError, match="need frames"):
        predict_poses(tiny, tiny_card, [], BOX)
    with pytest.raises(ValueError, match="x1 > x0"):
        predict_poses(tiny, tiny_card, [picture(0)], BOX[[2, 3, 0, 1]])


# ------------------------------------------------------------------------------- the first box


class PaintReader(nn.Module):
    """Three joints: the middles of what is red, green and blue; the score is the brightness."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))  # says which device

    def forward(self, frames: Tensor) -> Output:
        light = (frames + 1) / 2  # B T 3 H W
        weight = light / light.sum((-2, -1), keepdim=True).clamp(min=1e-6)
        at = (torch.arange(frames.shape[-1]) + 0.5) / frames.shape[-1]
        uv = torch.stack([(weight.sum(-2) * at).sum(-1), (weight.sum(-1) * at).sum(-1)], -1)
        return Output([uv], [light.amax((-2, -1))], [], [])


def painted(*, red: tuple[int, int], green: tuple[int, int], blue: tuple[int, int]) -> np.ndarray:
    """Squares of 12 px about three points of a picture of 160 x 200; blue is dim."""
    image = np.zeros((160, 200, 3), np.uint8)
    for channel, (x, y), value in ((0, red, 255), (1, green, 255), (2, blue, 50)):
        image[y - 6 : y + 6, x - 6 : x + 6, channel] = value
    return image


def test_the_first_box_holds_the_poses_of_first_middle_and_last_frame(tiny_card: Card) -> None:
    """Only confident joints count. The released code took y for the confidence, and so would have
    counted the dim joint at the bottom."""
    card = replace(tiny_card, size=(96, 96))
    reds = {0: (40, 40), 4: (120, 40), 7: (90, 30), 1: (190, 10)}  # that of 1 does not count
    clip = [
        painted(red=reds.get(t, (60, 40)), green=(80, 80 + t), blue=(180, 150)) for t in range(8)
    ]
    windows: list[np.ndarray] = []

    def crop(
        image: np.ndarray, box: np.ndarray, *, size: tuple[int, int], flip: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        windows.append(box)
        return straight_crop(image, box, size=size, flip=flip)

    box = initial_box(PaintReader(), card, clip, crop=crop)
    np.testing.assert_allclose(box, [40, 30, 120, 87], atol=1.5)
    np.testing.assert_allclose(windows, [[0, -20, 200, 180]] * 3)  # the square on the frame


def test_the_first_box_is_in_the_frame_for_any_network(tiny: SPNet, tiny_card: Card) -> None:
    box = initial_box(tiny, tiny_card, [picture(0)])
    assert (box[2:] - box[:2]).max() >= 32 - 1e-6
    assert (box >= -40).all() and (box <= 120).all()


def test_a_predicted_box_is_that_of_the_clip(tiny: SPNet, tiny_card: Card) -> None:
    video = record(T)
    box = initial_box(tiny, tiny_card, [picture(t) for t in range(T)])
    given = replace(video, box=np.repeat(box[None], T, 0))
    found = single_clip(tiny, tiny_card, video, protocol=ClipProtocol(predicted_box=True))
    same = single_clip(tiny, tiny_card, given)
    np.testing.assert_allclose(found.probabilities, same.probabilities, atol=1e-9)
    other = single_clip(tiny, tiny_card, video)
    assert np.abs(found.probabilities - other.probabilities).max() > 1e-6


# ------------------------------------------------------------------------------- clips


@pytest.mark.parametrize(("frames", "step"), [(8, 1), (8, 6), (16, 2), (5, 3), (1, 1)])
def test_clips_lie_in_the_video_and_half_a_clip_apart(frames: int, step: int) -> None:
    for length in range(1, 140):
        starts = clip_starts(length, frames, step=step, spacing="half_clip")
        assert bool(starts) == (length >= frames * step)
        if starts:
            before, after = starts[0], length - 1 - (starts[-1] + (frames - 1) * step)
            assert before >= 0 and 0 <= after - before <= 1
            assert set(np.diff(starts)) <= {max(frames // 2, 1) * step}
            assert before + after < max(frames // 2, 1) * step + step  # no room for another


def test_released_clips_are_those_of_the_code() -> None:
    for length, frames, step in [(47, 8, 6), (48, 8, 6), (100, 8, 6), (75, 8, 4), (90, 16, 2)]:
        expected, start = [], 0
        while start + frames * step <= length:
            expected.append(start)
            start += frames // 2 + step - 1
        assert clip_starts(length, frames, step=step, spacing="released") == expected
    assert clip_starts(100, 8, step=6, spacing="released")[:2] == [0, 9]
    assert clip_starts(9, 1, spacing="released") == list(range(9))


def test_no_length_frames_or_step_below_one() -> None:
    with pytest.raises(ValueError, match="1 or more"):
        clip_starts(10, 8, step=0, spacing="half_clip")


def test_the_single_clip_is_the_network_on_the_middle_of_the_video(
    tiny: SPNet, tiny_card: Card
) -> None:
    found = single_clip(tiny, tiny_card, record(20), protocol=ClipProtocol(step=2))
    frames = clip_indices(20, T, step=2)
    assert frames == [2, 4, 6, 8, 10, 12, 14, 16]
    out = by_hand(tiny, [picture(t) for t in frames])
    expected = out.actions[-1][0].softmax(-1)
    np.testing.assert_allclose(found.probabilities, expected[0], atol=1e-5)
    np.testing.assert_array_equal(found.per_clip, found.probabilities[None])
    assert not found.short


@pytest.mark.parametrize("rule", ["average", "product"])
@pytest.mark.parametrize(("length", "step"), [(8, 1), (11, 1), (24, 3), (34, 3)])
def test_several_clips_of_a_video_of_one_are_the_single_clip(
    tiny: SPNet, tiny_card: Card, rule: str, length: int, step: int
) -> None:
    protocol = replace(RELEASED if rule == "product" else ClipProtocol(), step=step)
    protocol = replace(protocol, spacing="half_clip")
    several = multi_clip(tiny, tiny_card, record(length), protocol=protocol)
    single = single_clip(tiny, tiny_card, record(length), protocol=protocol)
    assert several.per_clip.shape == (1, 4) and not several.short
    np.testing.assert_allclose(several.probabilities, single.probabilities, atol=1e-12)


def test_rules_of_several_clips_by_hand(tiny: SPNet, tiny_card: Card) -> None:
    video = record(20)
    starts = clip_starts(20, T, spacing="half_clip")
    assert starts == [0, 4, 8, 12]
    clips = [by_hand(tiny, [picture(t) for t in range(s, s + T)]) for s in starts]
    each = np.stack([clip.actions[-1][0][0].double().softmax(-1).numpy() for clip in clips])
    average = multi_clip(tiny, tiny_card, video)
    np.testing.assert_allclose(average.per_clip, each, atol=1e-5)
    np.testing.assert_allclose(average.probabilities, each.mean(0), atol=1e-5)
    product = multi_clip(tiny, tiny_card, video, protocol=ClipProtocol(rule="product"))
    np.testing.assert_allclose(product.probabilities, each.prod(0) / each.prod(0).sum(), atol=1e-4)
    assert np.abs(product.probabilities - average.probabilities).max() > 1e-3


def test_the_released_way_multiplies_over_clips_and_mirror_images(
    tiny: SPNet, tiny_card: Card
) -> None:
    video = record(14)
    assert clip_starts(14, T, spacing="released") == [0, 4]
    found = multi_clip(tiny, tiny_card, video, protocol=RELEASED)
    views = [(view,) for view in FLIP]
    parts = [
        multi_clip(tiny, tiny_card, video, protocol=replace(RELEASED, views=view)).per_clip
        for view in views
    ]
    product = np.concatenate(parts).prod(0)
    np.testing.assert_allclose(found.probabilities, product / product.sum(), atol=1e-9)
    np.testing.assert_allclose(found.probabilities.sum(), 1)
    of_views = parts[0] * parts[1]
    np.testing.assert_allclose(
        found.per_clip, of_views / of_views.sum(-1, keepdims=True), atol=1e-9
    )


def test_a_product_of_many_clips_does_not_vanish(tiny: SPNet, tiny_card: Card) -> None:
    protocol = replace(RELEASED, views=tuple(View() for _ in range(700)))
    small = replace(tiny_card, size=(16, 16), frames=2)
    found = single_clip(tiny, small, record(2), protocol=protocol)
    np.testing.assert_allclose(found.probabilities.sum(), 1)


def test_a_still_video_gives_the_same_whatever_the_clips(tiny: SPNet, tiny_card: Card) -> None:
    video = replace(record(20), frame=lambda _: picture(0))
    several = multi_clip(tiny, tiny_card, video)
    assert len(several.per_clip) == 4
    single = single_clip(tiny, tiny_card, video)
    np.testing.assert_allclose(several.probabilities, single.probabilities, atol=1e-6)


@pytest.mark.parametrize("spacing", ["half_clip", "released"])
def test_bug_a_short_video_was_correct_and_is_answered_here(
    tiny: SPNet, tiny_card: Card, spacing: str
) -> None:
    """The released code makes no clip of it and compares two untouched vectors."""
    protocol = replace(RELEASED, step=6) if spacing == "released" else ClipProtocol(step=6)
    found = multi_clip(tiny, tiny_card, record(5), protocol=protocol)
    assert found.short and found.per_clip.shape == (1, 4)
    single = single_clip(tiny, tiny_card, record(5), protocol=protocol)
    assert single.short
    np.testing.assert_array_equal(found.probabilities, single.probabilities)
    every_class = np.repeat(found.probabilities[None], 4, 0)
    accuracy = metrics.top1(every_class, np.arange(4))
    assert (accuracy.mean, accuracy.count) == (0.25, 4)


def test_the_box_of_a_clip_is_around_the_boxes_of_its_frames(tiny: SPNet, tiny_card: Card) -> None:
    video = record(T)
    moving = np.repeat(BOX[None], T, 0)
    moving[0, :2] -= 8
    moving[3, 2:] += 8
    moving[5] = np.nan
    around = np.repeat(np.array([[6.4, 6.4, 73.6, 73.6]]), T, 0)
    found = single_clip(tiny, tiny_card, replace(video, box=moving))
    same = single_clip(tiny, tiny_card, replace(video, box=around))
    np.testing.assert_allclose(found.probabilities, same.probabilities, atol=1e-9)


def test_without_a_box_the_whole_picture_is_the_crop(tiny: SPNet, tiny_card: Card) -> None:
    low, high = 40 - 40 / tiny_card.margin, 40 + 40 / tiny_card.margin
    whole = np.array([low, low, high, high])
    expected = single_clip(tiny, tiny_card, record(T, box=whole)).probabilities
    for box in (None, np.full(4, np.nan)):
        found = single_clip(tiny, tiny_card, record(T, box=box)).probabilities
        np.testing.assert_array_equal(found, expected)


def test_what_cannot_be_answered_is_refused(
    tiny: SPNet, tiny_card: Card, tiny_config: SPNetConfig
) -> None:
    with pytest.raises(ValueError, match="no pictures"):
        single_clip(tiny, tiny_card, replace(record(T), frame=None))
    poses_only = SPNet(replace(tiny_config, actions=(), action_pyramids=())).eval()
    with pytest.raises(ValueError, match="no action"):
        multi_clip(poses_only, tiny_card, record(T), protocol=ClipProtocol(views=SINGLE))
