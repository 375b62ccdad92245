"""What is painted on a joint stays on it, unknown stays unknown, batches repeat."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import savemat

from poseact.core.geometry import transform
from poseact.core.layouts import LSP14, MPII16, PA16, PA17
from poseact.core.types import NO_ACTION, Record, Sample
from poseact.data import synthetic
from poseact.data.augment import NONE, PAPER, STRONG, Augment, AugmentParams
from poseact.data.dataset import (
    Batches,
    Part,
    clip_indices,
    evaluation_batches,
    loader,
    make_sample,
)
from poseact.data.sets import lsp
from poseact.people.scene import PeopleConfig, render_clip

SIZE = (96, 96)
L_WRIST, R_WRIST = PA16.index("l_wrist"), PA16.index("r_wrist")


@dataclass(frozen=True)
class Still:
    """The same picture at every t; a class, so that workers can pickle it."""

    image: np.ndarray

    def __call__(self, t: int) -> np.ndarray:
        return self.image


def person(seed: int, *, frames: int = 1, deep: bool = True) -> Record:
    """Joints anywhere in a grey picture of 240 x 320, l_wrist of frame 0 painted red."""
    rng = np.random.default_rng(seed)
    xy = rng.uniform([60, 40], [260, 200], (frames, 16, 2))
    xyz = rng.normal(0, 200, (frames, 16, 3)) + [0, 0, 4000]
    image = np.full((240, 320, 3), 120, np.uint8)
    centre = xy[0, L_WRIST] - 0.5  # OpenCV counts from the pixel's centre
    cv2.circle(image, np.rint(centre * 16).astype(int).tolist(), 7 * 16, (220, 20, 20), -1, 8, 4)
    box = np.tile([40.0, 20.0, 280.0, 220.0], (frames, 1))
    return Record(Still(image), xy, PA16, xyz=xyz if deep else None, box=box, action=seed % 5)


def sample(record: Record, params: AugmentParams | None = None, *, margin: float = 1.0) -> Sample:
    frames = list(range(len(record)))
    return make_sample(record, PA16, size=SIZE, frames=frames, params=params, margin=margin)


def pixels(batch: Sample) -> np.ndarray:
    """(T, H, W, 3) grey levels."""
    return ((batch["frames"].permute(0, 2, 3, 1).numpy() + 1) * 127.5).round()


def same(a: Sample, b: Sample) -> bool:
    return a.keys() == b.keys() and all(
        np.array_equal(a[key].numpy(), b[key].numpy(), equal_nan=a[key].is_floating_point())
        for key in a
    )


def test_weights_of_labels_go_with_their_joints() -> None:
    record = person(0)
    assert "weight" not in sample(record)
    weight = np.zeros((1, 16, 3), np.float32)
    weight[0, L_WRIST] = 0.25, 0.5, 0.75
    weight[0, PA16.index("l_hip")] = 1
    record = replace(record, weight=weight)
    assert torch.equal(sample(record)["weight"], torch.from_numpy(weight))
    mirrored = sample(record, AugmentParams(flip=True))["weight"]
    assert mirrored[0, R_WRIST].tolist() == [0.25, 0.5, 0.75]
    assert float(mirrored[0, L_WRIST].sum()) == 0
    lsp_weight = make_sample(record, LSP14, size=SIZE, frames=[0])["weight"]
    assert lsp_weight[0, LSP14.index("l_wrist")].tolist() == [0.25, 0.5, 0.75]


def test_a_derived_joint_has_the_mean_weight_of_those_it_comes_from() -> None:
    weight = np.zeros((1, 14, 3), np.float32)
    weight[0, LSP14.index("l_hip")] = 1
    record = replace(person(0), xy=person(0).xy[:, :14], xyz=None, layout=LSP14, weight=weight)
    found = make_sample(record, PA17, size=SIZE, frames=[0])["weight"]
    assert float(found[0, PA17.index("pelvis"), 0]) == 0.5


class TestPaint:
    """After any augmentation the red spot is where the label of the left wrist says."""

    # Strong geometry; the colours only as far as red stays the reddest (JPEG smears small spots).
    geometry = replace(STRONG, gamma=0.1, grey=0, cutout=0, jpeg=0, saturation=0.2, upside_down=0.3)

    def test_red_stays_on_the_wrist(self) -> None:
        rng = np.random.default_rng(0)
        errors: dict[bool, list[np.ndarray]] = {False: [], True: []}
        for seed in range(80):
            params = self.geometry.sample(rng)
            batch = sample(person(seed), params)
            # Mirrored, a left wrist looks like a right one, and is called one.
            label = batch["pose"][0, R_WRIST if params.flip else L_WRIST, :2].numpy() * SIZE[::-1]
            if (label < 9).any() or (label > np.array(SIZE[::-1]) - 9).any():
                continue  # the border may cut the spot
            image = pixels(batch)[0]
            redness = np.clip(image[..., 0] - image[..., 1:].max(-1) - 60, 0, None)
            y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
            spot = np.array([(x * redness).sum(), (y * redness).sum()]) / redness.sum()
            assert np.abs(spot - label).max() < 0.5  # noise moves it a little
            errors[params.flip].append(spot - label)
        for error in errors.values():
            assert len(error) >= 15 and np.abs(np.mean(error, 0)).max() < 0.1

    def test_to_image_leads_back_to_the_picture(self) -> None:
        rng = np.random.default_rng(1)
        for seed in range(10):
            record, params = person(seed, frames=2), STRONG.sample(rng)
            batch = sample(record, params)
            xy = transform(batch["to_image"].numpy(), batch["pose"][..., :2].numpy())
            twins = record.xy[:, list(PA16.flip)] if params.flip else record.xy
            np.testing.assert_allclose(xy, twins, atol=0.01)

    def test_mirroring_exchanges_sides_and_turning_keeps_depth(self) -> None:
        record = person(3)
        plain, mirrored = sample(record), sample(record, AugmentParams(flip=True))
        twin = list(PA16.flip)
        torch.testing.assert_close(mirrored["pose"][..., 2], plain["pose"][:, twin, 2])
        torch.testing.assert_close(mirrored["pose"][..., 0], 1 - plain["pose"][:, twin, 0])
        turned = sample(record, AugmentParams(angle_rad=1.0, scale=1.2))
        torch.testing.assert_close(turned["pose"][..., 2], plain["pose"][..., 2])

    def test_whole_clip_shares_one_crop(self) -> None:
        batch = sample(person(4, frames=3), STRONG.sample(np.random.default_rng(2)))
        assert torch.equal(batch["to_image"][0], batch["to_image"][2])


class TestUnknown:
    def test_unknown_joint_stays_nan_and_is_not_valid(self) -> None:
        record = person(0)
        record.xy[0, 5] = np.nan
        batch = sample(record)
        assert batch["pose"][0, 5, :2].isnan().all()
        assert not batch["valid"][0, 5].any() and not batch["inside"][0, 5]
        assert batch["valid"].sum() == 15 * 3

    def test_joint_out_of_the_crop_is_known_but_not_valid(self) -> None:
        record = person(0)
        record.xy[0, 5] = [310, 120]
        batch = sample(record)
        assert batch["pose"][0, 5, 0] > 1
        assert not batch["valid"][0, 5].any() and not batch["inside"][0, 5]

    def test_depth_beyond_the_range_masks_depth_alone(self) -> None:
        record = person(0)
        assert record.xyz is not None
        record.xyz[0, 5, 2] = record.xyz[0, PA16.root, 2] + 1500
        batch = sample(record)
        assert batch["pose"][0, 5, 2] == pytest.approx(1.25)
        assert batch["valid"][0, 5].tolist() == [True, True, False]
        assert batch["inside"][0, 5]

    def test_root_is_at_one_half_and_a_metre_behind_it_at_one(self) -> None:
        record = person(0)
        assert record.xyz is not None
        record.xyz[0, 5, 2] = record.xyz[0, PA16.root, 2] + 999
        depth = sample(record)["pose"][0, :, 2]
        assert depth[PA16.root] == 0.5
        assert depth[5] == pytest.approx(0.9995, abs=1e-6)

    def test_still_in_2d_and_in_3d_share_a_batch(self) -> None:
        records = [person(0), replace(person(1, deep=False), action=None)]
        (batch,) = evaluation_batches(records, PA16, size=SIZE)
        assert batch["valid"][:, ..., 2].sum((1, 2)).tolist() == [16, 0]
        assert batch["pose"][1, ..., 2].isnan().all()
        assert batch["valid"][1, ..., :2].all()
        assert batch["action"].tolist() == [0, NO_ACTION]

    def test_joints_are_found_by_name(self) -> None:
        record = person(2)
        batch = make_sample(record, MPII16, size=SIZE, frames=[0])
        wrist = batch["pose"][0, MPII16.index("l_wrist")]
        torch.testing.assert_close(wrist, sample(record)["pose"][0, L_WRIST])

    def test_without_a_box_the_crop_is_the_whole_picture(self) -> None:
        record = person(0)
        assert record.box is not None
        for box in (None, np.full_like(record.box, np.nan)):
            corners = np.array([[0.0, 0.0], [1.0, 1.0]])
            to_image = sample(replace(record, box=box))["to_image"][0].numpy()
            # The square of 320 px on the centre of the 240 x 320 picture.
            np.testing.assert_allclose(transform(to_image, corners), [[0, -40], [320, 280]])

    def test_crop_is_the_union_of_the_boxes_of_the_clip(self) -> None:
        record = person(0, frames=3)
        assert record.box is not None
        record.box[:] = [[100, 100, 120, 120], [np.nan] * 4, [160, 100, 200, 130]]
        to_image = sample(record, margin=1.5)["to_image"][0].numpy()
        corners = transform(to_image, np.array([[0.0, 0.0], [1.0, 1.0]]))
        np.testing.assert_allclose(corners, [[75, 40], [225, 190]], rtol=1e-5)

    def test_frames_and_depth_are_scaled_to_the_networks_ranges(self) -> None:
        batch = sample(person(0))
        assert batch["frames"].shape == (1, 3, *SIZE) and batch["frames"].dtype == torch.float32
        assert batch["frames"].min() >= -1 and batch["frames"].max() <= 1
        np.testing.assert_allclose(batch["frames"][0, :, 5, 5], 120 / 127.5 - 1, atol=1e-6)

    def test_record_without_pictures_is_refused(self) -> None:
        with pytest.raises(ValueError, match="no pictures"):
            sample(replace(person(0), frame=None))


class TestAugment:
    frames = np.random.default_rng(0).integers(0, 256, (2, 32, 40, 3), np.uint8)

    def test_none_changes_nothing(self) -> None:
        params = NONE.sample(np.random.default_rng(0))
        np.testing.assert_array_equal(params.effects(self.frames), self.frames)
        box = np.array([0.0, 0, 10, 10])
        np.testing.assert_allclose(params.matrix(box), np.diag([0.1, 0.1, 1]))

    def test_a_draw_gives_the_same_twice_and_leaves_its_input(self) -> None:
        before = self.frames.copy()
        rng = np.random.default_rng(1)
        for _ in range(10):
            params = STRONG.sample(rng)
            np.testing.assert_array_equal(params.effects(self.frames), params.effects(self.frames))
        np.testing.assert_array_equal(self.frames, before)

    def test_draws_fill_their_ranges(self) -> None:
        rng = np.random.default_rng(2)
        chosen = [PAPER.sample(rng) for _ in range(400)]
        angle = np.rad2deg([d.angle_rad for d in chosen])
        assert 35 < np.abs(angle).max() <= 40 and abs(angle.mean()) < 4
        scale = np.array([d.scale for d in chosen])
        assert 0.7 <= scale.min() < 0.73 and 1.27 < scale.max() <= 1.3
        assert 0.4 < np.mean([d.flip for d in chosen]) < 0.6
        gamma = np.array([d.gamma for d in chosen])
        assert 0.9 <= gamma.min() < 0.91 and 1.09 < gamma.max() <= 1.1
        assert np.abs(np.corrcoef(gamma.T)[0, 1]) < 0.2  # a power of its own for each channel
        assert all(d.jpeg == 0 and d.noise == d.blur == 0 and not d.cutouts for d in chosen)

    def test_upside_down_reaches_every_angle(self) -> None:
        rng = np.random.default_rng(3)
        angles = [Augment(upside_down=1.0).sample(rng).angle_rad for _ in range(100)]
        assert max(angles) > 3 and min(angles) < -3

    def test_effects_do_what_they_say(self) -> None:
        plain = np.full((2, 64, 64, 3), (200, 60, 20), np.uint8)
        grey = AugmentParams(saturation=0.0, gamma=(0.8, 1.0, 1.2)).effects(plain)
        assert np.ptp(grey.astype(int), axis=-1).max() == 0
        assert AugmentParams(brightness=0.1).effects(plain)[0, 0, 0, 1] == round(60 + 25.5)
        assert AugmentParams(contrast=0.0).effects(plain)[0, 0, 0].tolist() == [128] * 3
        noisy = AugmentParams(noise=8.0).effects(plain).astype(float) - plain
        assert 6 < noisy[..., 1].std() < 10 and not np.array_equal(noisy[0], noisy[1])
        jpeg = AugmentParams(jpeg=60).effects(plain).astype(float)
        np.testing.assert_allclose(jpeg, plain, atol=6)  # red is red: no exchanged channels
        hidden = AugmentParams(cutouts=((0.5, 0.25, 1.5, 0.5, 1.0, 2.0, 3.0),)).effects(plain)
        changed = (hidden != plain).any((0, 3))
        assert changed[16:32, 32:].all() and changed.sum() == 16 * 32
        edge = plain.copy()
        edge[:, :, 32:] = 0
        assert 60 < AugmentParams(blur=0.05).effects(edge)[0, 32, 32, 0] < 120

    def test_impossible_ranges_are_refused(self) -> None:
        with pytest.raises(ValueError, match="scale"):
            Augment(scale=(1.3, 0.7))
        with pytest.raises(ValueError, match="shares"):
            Augment(flip=50)


class TestClipIndices:
    @given(
        length=st.integers(1, 60),
        frames=st.integers(1, 20),
        step=st.integers(1, 6),
        seed=st.none() | st.integers(0, 9),
    )
    def test_indices_are_in_range_in_order_and_as_far_apart_as_there_is_room(
        self, length: int, frames: int, step: int, seed: int | None
    ) -> None:
        rng = None if seed is None else np.random.default_rng(seed)
        indices = clip_indices(length, frames, step=step, rng=rng)
        gaps = np.diff(indices)
        assert len(indices) == frames and min(indices) >= 0 and max(indices) < length
        assert (gaps >= 0).all()
        if length >= frames:
            assert (gaps == min(step, length // frames)).all()

    def test_centred_random_and_stretched(self) -> None:
        assert clip_indices(100, 4, step=10) == [34, 44, 54, 64]
        rng = np.random.default_rng(0)
        starts = {clip_indices(10, 4, rng=rng)[0] for _ in range(100)}
        assert starts == set(range(7))
        assert clip_indices(1, 4) == [0, 0, 0, 0]
        assert set(clip_indices(5, 8)) >= {0, 1, 2, 3}


class TestBatches:
    @staticmethod
    def batches(seed: int = 7) -> Batches:
        stills = [person(i, deep=False) for i in range(5)]
        clips = [person(i, frames=6) for i in range(3)]
        parts = [
            Part("stills", stills, 2, augment=STRONG),
            Part("clips", clips, 1, frames=2, step=2, augment=PAPER),
        ]
        return Batches(parts, PA17, size=(32, 32), seed=seed)

    def test_shapes_of_the_parts(self) -> None:
        batch = self.batches()[0]
        assert batch["stills"]["frames"].shape == (2, 1, 3, 32, 32)
        assert batch["clips"]["pose"].shape == (1, 2, 17, 3)

    def test_a_batch_hangs_on_seed_and_step_alone(self) -> None:
        a, b = self.batches(), self.batches()
        late = a[4]
        for step in range(4):
            b[step]  # the way there does not matter
        assert same(late["stills"], b[4]["stills"]) and same(late["clips"], b[4]["clips"])
        assert not same(late["stills"], self.batches(seed=8)[4]["stills"])

    # Python 3.12 warns of every fork in a process with threads, which OpenBLAS starts.
    @pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
    def test_workers_and_resuming_change_nothing(self) -> None:
        batches = self.batches()
        cv2.setNumThreads(4)  # a worker forked beside OpenCV's thread pool would hang
        cv2.GaussianBlur(np.zeros((1000, 1000, 3), np.uint8), (0, 0), 3)
        alone = list(loader(batches, 0, 5))
        resumed = list(loader(batches, 2, 5, workers=2))
        assert len(alone) == 5 and len(resumed) == 3
        for a, b in zip(alone[2:], resumed, strict=True):
            assert a.keys() == b.keys() == {"stills", "clips"}
            assert all(same(a[name], b[name]) for name in a)

    def test_every_record_comes_once_an_epoch_in_a_new_order(self) -> None:
        batches = self.batches()
        epochs = [[batches.record_index(0, 5 * epoch + i) for i in range(5)] for epoch in range(6)]
        assert all(sorted(epoch) == list(range(5)) for epoch in epochs)
        assert len({tuple(epoch) for epoch in epochs}) > 1

    def test_evaluation_keeps_order_and_the_rest(self) -> None:
        records = [person(i) for i in range(5)]
        batches = evaluation_batches(records, PA16, size=SIZE, batch=2)
        assert [batch["action"].tolist() for batch in batches] == [[0, 1], [2, 3], [4]]

    def test_part_without_records_is_refused(self) -> None:
        with pytest.raises(ValueError, match="'mocap' needs records"):
            Part("mocap", [], 4)
        with pytest.raises(ValueError, match="names of their own"):
            Batches([Part("a", [person(0)], 1)] * 2, PA16, size=SIZE)


class TestLsp:
    joints = np.random.default_rng(0).uniform(1, 60, (4, 14, 2))
    flags = np.random.default_rng(1).integers(0, 2, (4, 14))

    def original(self, root: Path, *, extended: bool) -> Path:
        (root / "images").mkdir()
        for i in range(4):
            image = np.full((60, 64, 3), (10, 20, 50 * i), np.uint8)  # B G R
            name = f"im{i + 1:05d}.jpg" if extended else f"im{i + 1:04d}.jpg"
            cv2.imwrite(str(root / "images" / name), image)
        table = np.concatenate([self.joints, self.flags[..., None]], -1)  # N 14 3
        table = table.transpose(1, 2, 0) if extended else table.transpose(2, 1, 0)
        savemat(root / "joints.mat", {"joints": table})
        return root

    def test_lsp_halves(self, tmp_path: Path) -> None:
        root = self.original(tmp_path, extended=False)
        train, test = lsp.load(root, "train"), lsp.load(root, "test")
        assert [len(r) for r in train + test] == [1] * 4 and len(lsp.load(root, "all")) == 4
        last = test[1]
        np.testing.assert_allclose(last.xy[0], self.joints[3] - 0.5, rtol=1e-6)
        assert last.visible is not None and last.layout is LSP14 and last.source == "lsp"
        np.testing.assert_array_equal(last.visible[0], self.flags[3] == 0)
        assert last.frame is not None and last.box is not None
        np.testing.assert_allclose(last.frame(0)[0, 0], [150, 20, 10], atol=4)  # RGB
        extent = last.xy[0].max(0) - last.xy[0].min(0)
        np.testing.assert_allclose(last.box[0, 2:] - last.box[0, :2], extent, rtol=1e-6)

    def test_extension_hides_what_is_not_annotated(self, tmp_path: Path) -> None:
        records = lsp.load(self.original(tmp_path, extended=True), "train")
        unknown = np.isnan(np.stack([r.xy[0] for r in records])).all(-1)
        np.testing.assert_array_equal(unknown, self.flags == 0)

    def test_few_joints_are_kept_and_show_the_whole_picture(self, tmp_path: Path) -> None:
        self.flags = np.tile(np.arange(14) < 3, (4, 1)).astype(int)
        records = lsp.load(self.original(tmp_path, extended=True), "all")
        assert len(records) == 4
        batch = make_sample(records[0], LSP14, size=SIZE, frames=[0])
        assert batch["inside"].sum() == 3
        assert batch["to_image"][0, 0, 0] == pytest.approx(64)

    def test_errors_name_what_was_looked_for(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"lspet\.npz.*joints\.mat"):
            lsp.load(tmp_path)
        root = self.original(tmp_path, extended=True)
        with pytest.raises(ValueError, match="splits train, all; got 'test'"):
            lsp.load(root, "test")
        (root / "images" / "im00002.jpg").unlink()
        with pytest.raises(FileNotFoundError, match=r"1 of 4 .*im00002\.jpg"):
            lsp.load(root)

    def test_packed(self, shared_data: Path) -> None:
        train, val = (lsp.load(shared_data / "lspet", split) for split in ("train", "val"))
        assert (len(train), len(val)) == (8991, 500)
        record = val[7]
        assert record.frame is not None and record.visible is not None
        height, width, channels = record.frame(0).shape
        assert max(height, width) <= 256 and channels == 3
        np.testing.assert_array_equal(np.isnan(record.xy[0, :, 0]), ~record.visible[0])
        # Joints lie on their picture, but for what sloppy labels put just beside it.
        known = record.xy[0][record.visible[0]]
        assert (known > -2).all() and (known < [width + 2, height + 2]).all()


CONFIG = PeopleConfig(height=64, width=64, frames=2, preset="easy", seed=5)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with three clips."""
    cache = tmp_path_factory.mktemp("cache")
    synthetic.load(CONFIG, 3, cache=cache, shard=2)
    return cache


class TestPeople:
    def test_records_are_the_rendered_clips(self, pool: Path) -> None:
        records = synthetic.load(CONFIG, 3, cache=pool, shard=2)
        assert len(records) == 3
        for index, record in enumerate(records):
            clip = render_clip(CONFIG, index)
            assert record.frame is not None
            np.testing.assert_array_equal(record.frame(1), clip.frames[1])
            np.testing.assert_allclose(record.xy, clip.xy, rtol=1e-6)
            assert record.xyz is not None
            np.testing.assert_allclose(record.xyz, clip.xyz, rtol=1e-6)
            assert record.action == (clip.action if clip.action >= 0 else None)
            assert len(record) == 2 and record.layout.name == CONFIG.layout

    def test_camera_projects_xyz_onto_xy(self, pool: Path) -> None:
        for record in synthetic.load(CONFIG, 3, cache=pool, shard=2):
            assert record.camera is not None and record.xyz is not None
            xy = record.xyz[..., :2] / record.xyz[..., 2:] * record.camera.f + record.camera.c
            np.testing.assert_allclose(xy, record.xy, atol=0.05)

    def test_head_size_does_not_foreshorten(self, pool: Path) -> None:
        (record, *_) = synthetic.load(CONFIG, 3, cache=pool, shard=2)
        assert record.scale_px is not None and record.xyz is not None
        head, neck = (record.layout.index(j) for j in ("head", "neck"))
        seen = np.linalg.norm(record.xy[:, head] - record.xy[:, neck], axis=-1)
        assert (record.scale_px > 0.8 * seen).all() and (record.scale_px < CONFIG.height / 3).all()

    def test_stopped_rendering_goes_on_where_it_was(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rendered: list[int] = []

        def counting(stop_at: int | None) -> Callable[[PeopleConfig, int], object]:
            def render(config: PeopleConfig, index: int) -> object:
                if index == stop_at:
                    raise KeyboardInterrupt
                rendered.append(index)
                return render_clip(config, index)

            return render

        monkeypatch.setattr(synthetic, "render_clip", counting(stop_at=3))
        with pytest.raises(KeyboardInterrupt):
            synthetic.load(CONFIG, 5, cache=tmp_path, shard=2)
        (folder,) = tmp_path.iterdir()
        shard = "clips_0000000_0000002"
        whole = {"config.json", f"{shard}.frames.npy", f"{shard}.labels.npz"}
        assert {file.name for file in folder.iterdir()} == whole  # nothing half-written

        rendered.clear()
        monkeypatch.setattr(synthetic, "render_clip", counting(stop_at=None))
        assert len(synthetic.load(CONFIG, 5, cache=tmp_path, shard=2)) == 5
        assert rendered == [2, 3, 4]

        rendered.clear()  # killed between the frames and the labels of a shard
        (folder / "clips_0000002_0000004.labels.npz").unlink()
        assert len(synthetic.load(CONFIG, 5, cache=tmp_path, shard=2)) == 5
        assert rendered == [2, 3]

    def test_workers_render_the_same(self, pool: Path, tmp_path: Path) -> None:
        alone = synthetic.load(CONFIG, 3, cache=pool, shard=2)
        shared = synthetic.load(CONFIG, 3, cache=tmp_path, shard=2, workers=2)
        for a, b in zip(alone, shared, strict=True):
            assert a.frame is not None and b.frame is not None
            np.testing.assert_array_equal(a.frame(1), b.frame(1))
            np.testing.assert_array_equal(a.xy, b.xy)

    def test_a_later_start_continues_the_numbering(self, pool: Path) -> None:
        (late,) = synthetic.load(CONFIG, 1, cache=pool, shard=2, start=1)
        np.testing.assert_array_equal(late.xy, synthetic.load(CONFIG, 3, cache=pool, shard=2)[1].xy)

    def test_configurations_do_not_mix(self, tmp_path: Path) -> None:
        other = replace(CONFIG, seed=6)
        folder = synthetic.open_pool(CONFIG, tmp_path)
        assert synthetic.open_pool(other, tmp_path) != folder
        text = (folder / "config.json").read_text().replace('"seed": 5', '"seed": 6')
        (folder / "config.json").write_text(text)
        with pytest.raises(ValueError, match="another configuration"):
            synthetic.load(CONFIG, 1, cache=tmp_path)

    def test_cache_folder_follows_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("POSEACT_CACHE", "/somewhere/else")
        assert synthetic.default_cache() == Path("/somewhere/else")

    def test_impossible_counts_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="at least 1"):
            synthetic.load(CONFIG, 0, cache=tmp_path)
