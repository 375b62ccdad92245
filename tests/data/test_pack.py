"""Packed sets: what comes back is what went in, a stopped packing goes on, no damage is missed."""

from __future__ import annotations

import pickle
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from poseact.core.layouts import COCO17, PA16
from poseact.core.types import Camera, Record
from poseact.data import pack
from poseact.data.dataset import Batches, Part, loader, make_sample
from poseact.data.sets import lsp

RED = (230, 20, 20)


@dataclass(frozen=True)
class Painted:
    """Smooth pictures with a red spot at `spots[t]` px; a class, so that workers can pickle it."""

    spots: np.ndarray
    size: tuple[int, int] = (200, 260)

    def __call__(self, t: int) -> np.ndarray:
        y, x = np.mgrid[: self.size[0], : self.size[1]]
        image = np.stack([x // 4, y // 4, np.full_like(x, 20 * (t % 5))], -1).astype(np.uint8)
        centre = np.rint((self.spots[t] - 0.5) * 16).astype(int).tolist()
        cv2.circle(image, centre, 5 * 16, RED, -1, cv2.LINE_AA, 4)
        return image


def person(seed: int, *, frames: int = 1) -> Record:
    rng = np.random.default_rng(seed)
    xy = rng.uniform([90, 60], [170, 140], (frames, 16, 2)).astype(np.float32)
    xyz = rng.normal(0, 200, (frames, 16, 3)).astype(np.float32) + np.array(
        [0, 0, 4000], np.float32
    )
    xy[0, 3] = np.nan
    zero = np.zeros
    f, c = np.array([300.0, 310]), np.array([130.0, 100])
    camera = Camera(np.eye(3), zero(3), f, c, zero(3), zero(2))
    return Record(
        Painted(xy[:, 9]),
        xy,
        PA16,
        xyz=xyz if seed % 2 else None,
        visible=rng.random((frames, 16)) > 0.3,
        box=np.tile(np.array([90, 60, 170, 140], np.float32), (frames, 1)) if seed % 3 else None,
        camera=camera if seed % 2 else None,
        action=seed % 4 if seed % 4 else None,
        source="painted",
        subject=f"S{seed}",
        view="front",
        scale_px=np.full(frames, 20.0 + seed, np.float32) if seed % 2 else None,
    )


@pytest.fixture()
def records() -> list[Record]:
    return [person(seed, frames=1 + seed % 3) for seed in range(7)]


def spot(image: np.ndarray) -> np.ndarray:
    """(2,) px, the middle of what is red."""
    image = image.astype(int)
    redness = np.clip(image[..., 0] - image[..., 1:].max(-1) - 80, 0, None)
    y, x = np.mgrid[: image.shape[0], : image.shape[1]] + 0.5
    return np.array([(x * redness).sum(), (y * redness).sum()]) / redness.sum()


def same(a: object, b: object) -> bool:
    if a is None or b is None:
        return a is b
    if isinstance(a, Camera):
        return all(np.array_equal(x, getattr(b, name)) for name, x in vars(a).items())
    if isinstance(a, np.ndarray):
        return a.dtype == np.asarray(b).dtype and np.array_equal(
            a, np.asarray(b), equal_nan=a.dtype.kind == "f"
        )
    return a == b


class TestRoundTrip:
    def test_labels_come_back_exactly_and_pictures_nearly(
        self, records: list[Record], tmp_path: Path
    ) -> None:
        pack.pack(records, tmp_path)
        back = pack.load(tmp_path)
        assert len(back) == len(records)
        for a, b in zip(records, back, strict=True):
            for name in vars(a):
                assert name == "frame" or same(getattr(a, name), getattr(b, name)), name
            for t in range(len(a)):
                assert a.frame is not None and b.frame is not None
                assert np.abs(a.frame(t).astype(int) - b.frame(t)).mean() < 2
        assert pack.verify(tmp_path) == []
        assert {p.suffix for p in (tmp_path / "train").iterdir()} == {".npz", ".bin"}

    @pytest.mark.parametrize(("size", "margin"), [(None, 1.3), (90, None), (60, 1.6), (60, 9.0)])
    def test_points_follow_the_crop(
        self, tmp_path: Path, size: int | None, margin: float | None
    ) -> None:
        records = [person(seed, frames=2) for seed in (1, 2, 3)]
        pack.pack(records, tmp_path, size=size, margin=margin, quality=95)
        for before, after in zip(records, pack.load(tmp_path), strict=True):
            assert before.frame is not None and isinstance(after.frame, pack.PackedFrames)
            image = after.frame(1)
            assert size is None or max(image.shape) <= size
            # The wrist was painted red; it is red where the packed label says.
            np.testing.assert_allclose(spot(image), after.xy[1, 9], atol=0.5)
            source = after.xy[1] @ after.frame.to_source[:2, :2].T + after.frame.to_source[:2, 2]
            np.testing.assert_allclose(source, before.xy[1], atol=1e-3)

    def test_camera_and_head_size_follow_the_crop(self, tmp_path: Path) -> None:
        record = person(1)
        assert record.camera is not None and record.xyz is not None
        xy = record.xyz[..., :2] / record.xyz[..., 2:] * record.camera.f + record.camera.c
        pack.pack([replace(record, xy=xy)], tmp_path, size=50, margin=1.5)
        (after,) = pack.load(tmp_path)
        assert after.camera is not None and after.xyz is not None
        again = after.xyz[..., :2] / after.xyz[..., 2:] * after.camera.f + after.camera.c
        np.testing.assert_allclose(again, after.xy, atol=1e-3)
        assert after.scale_px is not None and after.box is not None
        np.testing.assert_allclose(after.scale_px, 21 * 50 / 120, rtol=0.02)
        np.testing.assert_allclose(after.box[0], np.array([20, 20, 100, 100]) * 50 / 120, atol=0.5)

    def test_a_sample_of_a_packed_crop_is_that_of_the_whole_picture(self, tmp_path: Path) -> None:
        record = person(5, frames=2)
        pack.pack([record], tmp_path, margin=1.6, quality=100)
        a, b = (
            make_sample(r, PA16, size=(64, 64), frames=[0, 1], margin=1.2)
            for r in (record, *pack.load(tmp_path))
        )
        np.testing.assert_allclose(a["pose"], b["pose"], atol=1e-5)
        assert np.abs(a["frames"].numpy() - b["frames"].numpy()).mean() < 0.02

    def test_records_without_pictures(self, tmp_path: Path) -> None:
        record = replace(person(1, frames=3), frame=None)
        pack.pack([record, person(2)], tmp_path, split="val", size=40, margin=1.0)
        first, second = pack.load(tmp_path, "val")
        assert first.frame is None and second.frame is not None
        assert same(first.xy, record.xy)

    def test_persons_in_one_picture_share_its_bytes(self, tmp_path: Path) -> None:
        one = person(1)
        records = [one, replace(one, xy=one.xy + 3), replace(one, xy=one.xy - 3)]
        pack.pack(records, tmp_path / "three")
        pack.pack(records[:1], tmp_path / "one")
        sizes = [
            sum(p.stat().st_size for p in (tmp_path / n).rglob("*.bin")) for n in ("three", "one")
        ]
        assert sizes[0] == sizes[1] and len(pack.load(tmp_path / "three")) == 3

    def test_frames_are_picklable_and_small(self, records: list[Record], tmp_path: Path) -> None:
        pack.pack(records, tmp_path)
        frame = pack.load(tmp_path)[2].frame
        assert frame is not None
        text = pickle.dumps(frame)
        assert len(text) < 2000
        np.testing.assert_array_equal(pickle.loads(text)(0), frame(0))
        with pytest.raises(IndexError, match="frame 3 of a record of 3"):
            frame(3)

    @pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
    def test_packed_records_train_with_workers(self, records: list[Record], tmp_path: Path) -> None:
        pack.pack(records, tmp_path)
        parts = [Part("packed", pack.load(tmp_path), 2)]
        batches = Batches(parts, PA16, size=(32, 32))
        (batch,) = loader(batches, 0, 1, workers=1)
        assert batch["packed"]["frames"].shape == (2, 1, 3, 32, 32)

    def test_workers_pack_the_same(
        self, records: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pack, "_UNIT_FRAMES", 6)
        done: list[int] = []
        pack.pack(records, tmp_path / "two", workers=2, progress=done.append)
        pack.pack(records, tmp_path / "one")
        assert sum(done) == len(records) and len(done) > 1
        files = [
            sorted(p for p in (tmp_path / n / "train").iterdir() if p.suffix == ".bin")
            for n in ("one", "two")
        ]
        assert len(files[0]) > 1
        assert [p.read_bytes() for p in files[0]] == [p.read_bytes() for p in files[1]]

    def test_shards_stay_below_their_bound(
        self, records: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pack, "_SHARD_BYTES", 12_000)
        pack.pack(records, tmp_path)
        sizes = [p.stat().st_size for p in (tmp_path / "train").glob("*.bin")]
        assert len(sizes) > 2 and max(sizes) <= 12_000
        assert pack.verify(tmp_path) == []
        last = pack.load(tmp_path)[-1]
        assert last.frame is not None
        np.testing.assert_allclose(spot(last.frame(0)), last.xy[0, 9], atol=0.5)


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from poseact.data import pack
from test_pack import person
pack._UNIT_FRAMES = 3
def slow(done):
    import time
    print("done", flush=True)
    time.sleep(0.2)
pack.pack([person(seed, frames=1 + seed % 3) for seed in range(7)], {out!r}, progress=slow)
"""


class TestResuming:
    def test_killed_in_the_middle_goes_on_and_ends_the_same(
        self, records: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pack, "_UNIT_FRAMES", 3)
        code = KILLED.format(tests=str(Path(__file__).parent), out=str(tmp_path / "killed"))
        child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        assert child.stdout is not None
        for _ in range(4):
            assert child.stdout.readline() == b"done\n"
        child.kill()
        child.wait()
        child.stdout.close()
        folder = tmp_path / "killed" / "train"
        assert not (folder / pack.INDEX).exists() and list(folder.glob("shard_*.npz"))
        with pytest.raises(FileNotFoundError, match="no packed set"):
            pack.load(tmp_path / "killed")

        before = {p: p.stat().st_mtime_ns for p in folder.glob("*.bin")}
        pack.pack(records, tmp_path / "killed")
        assert before and all(p.stat().st_mtime_ns == at for p, at in before.items())
        pack.pack(records, tmp_path / "whole")
        names = [{p.name for p in (tmp_path / n / "train").iterdir()} for n in ("killed", "whole")]
        assert names[0] == names[1]
        for a, b in zip(pack.load(tmp_path / "killed"), pack.load(tmp_path / "whole"), strict=True):
            assert a.frame is not None and b.frame is not None and same(a.xy, b.xy)
            np.testing.assert_array_equal(a.frame(0), b.frame(0))

    def test_an_error_leaves_nothing_half_written(
        self, records: list[Record], tmp_path: Path
    ) -> None:
        def broken(t: int) -> np.ndarray:
            raise ValueError("picture 5 is damaged")

        with pytest.raises(ValueError, match="picture 5 is damaged"):
            pack.pack([*records[:5], replace(records[5], frame=broken)], tmp_path)
        assert list((tmp_path / "train").iterdir()) == []

    def test_a_unit_damaged_before_the_end_is_made_again(
        self, records: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pack, "_UNIT_FRAMES", 3)
        stop = self.stopping_after(3)
        with pytest.raises(KeyboardInterrupt):
            pack.pack(records, tmp_path, progress=stop)
        (shard, *_) = sorted((tmp_path / "train").glob("*.bin"))
        flip(shard, 700)
        pack.pack(records, tmp_path)
        assert pack.verify(tmp_path) == []

    def test_packing_again_changes_nothing(self, records: list[Record], tmp_path: Path) -> None:
        index = pack.pack(records, tmp_path)
        before = index.stat().st_mtime_ns
        time.sleep(0.01)
        assert pack.pack(records, tmp_path) == index and index.stat().st_mtime_ns == before

    def test_other_records_or_options_are_refused(
        self, records: list[Record], tmp_path: Path
    ) -> None:
        pack.pack(records, tmp_path)
        with pytest.raises(ValueError, match="other records or options"):
            pack.pack(records, tmp_path, quality=80)
        with pytest.raises(ValueError, match="other records or options"):
            pack.pack(records[1:], tmp_path)

    @staticmethod
    def stopping_after(count: int) -> Callable[[int], None]:
        left = [count]

        def tell(done: int) -> None:
            left[0] -= done
            if left[0] < 0:
                raise KeyboardInterrupt

        return tell


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)


class TestDamage:
    def test_every_flipped_byte_of_a_shard_is_found(
        self, records: list[Record], tmp_path: Path
    ) -> None:
        pack.pack(records, tmp_path)
        (shard,) = (tmp_path / "train").glob("*.bin")
        for at in np.linspace(0, shard.stat().st_size - 1, 12).astype(int):
            flip(shard, at)
            (fault,) = pack.verify(tmp_path)
            assert shard.name in fault
            flip(shard, at)
        assert pack.verify(tmp_path) == []

    def test_a_damaged_frame_is_not_read(self, records: list[Record], tmp_path: Path) -> None:
        pack.pack(records, tmp_path)
        (shard,) = (tmp_path / "train").glob("*.bin")
        flip(shard, 500)
        first = pack.load(tmp_path)[0].frame
        assert first is not None
        with pytest.raises(ValueError, match="damaged at byte 0; pack it again"):
            first(0)

    def test_a_flipped_byte_of_the_index_is_found(
        self, records: list[Record], tmp_path: Path
    ) -> None:
        index = pack.pack(records, tmp_path)
        with np.load(index) as archive:
            assert all(archive[name].dtype != object for name in archive.files)
        flip(index, index.read_bytes().index(b"xy.npy") + 200)
        with pytest.raises(ValueError, match=r"index\.npz"):
            pack.load(tmp_path)

    def test_a_short_or_missing_shard_is_found(self, records: list[Record], tmp_path: Path) -> None:
        pack.pack(records, tmp_path)
        (shard,) = (tmp_path / "train").glob("*.bin")
        shard.write_bytes(shard.read_bytes()[:-1])
        assert len(pack.verify(tmp_path)) == 1
        with pytest.raises(ValueError, match="the index says"):
            pack.load(tmp_path)
        shard.unlink()
        with pytest.raises(FileNotFoundError, match="is missing"):
            pack.load(tmp_path)


class TestRefusals:
    def test_impossible_arguments(self, records: list[Record], tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="needs records"):
            pack.pack([], tmp_path)
        with pytest.raises(ValueError, match="plain name for the split"):
            pack.pack(records, tmp_path, split="../train")
        with pytest.raises(ValueError, match="quality 1..100"):
            pack.pack(records, tmp_path, quality=0)
        other = Record(None, np.zeros((1, 17, 2)), COCO17)
        with pytest.raises(ValueError, match="COCO17, PA16"):
            pack.pack([*records, other], tmp_path)

    def test_frames_of_other_sizes(self, tmp_path: Path) -> None:
        record = person(2, frames=2)
        frames = [np.zeros((50, 60, 3), np.uint8), np.zeros((50, 61, 3), np.uint8)]
        with pytest.raises(ValueError, match="frames of a record have one size"):
            pack.pack([replace(record, frame=lambda t: frames[t])], tmp_path)

    def test_a_missing_split_names_those_there_are(
        self, records: list[Record], tmp_path: Path
    ) -> None:
        pack.pack(records, tmp_path, split="val")
        with pytest.raises(FileNotFoundError, match="there are the splits val"):
            pack.load(tmp_path)


def test_real_pictures(shared_data: Path, tmp_path: Path) -> None:
    records = lsp.load(shared_data / "lspet", "val")[:20]
    pack.pack(records, tmp_path, split="val", margin=1.6)
    for before, after in zip(records, pack.load(tmp_path, "val"), strict=True):
        a, b = (
            make_sample(r, PA16, size=(64, 64), frames=[0], margin=1.1) for r in (before, after)
        )
        np.testing.assert_allclose(a["pose"], b["pose"], atol=1e-4)
        assert np.abs(a["frames"].numpy() - b["frames"].numpy()).mean() < 0.05
