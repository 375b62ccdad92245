"""NTU RGB+D: who is the main person, where the joints lie in the video, what the protocols hold."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest

from poseact.core.layouts import DEEPHAR_INDEX, NTU25, PA16, PA20, convert
from poseact.data.sets import ntu
from poseact.media.video import VideoWriter

FRAMES = 12
WIDTH, HEIGHT = 192, 108  # a tenth of the Kinect's picture
L_WRIST = NTU25.index("l_wrist")
NAME = "S001C002P003R001A007"


def body(seed: int, *, motion: float = 0.3, frames: int = FRAMES) -> np.ndarray:
    """(T, 25, 6) x y z (m), colour x y (px), tracking state: a standing person that moves."""
    rng = np.random.default_rng(seed)
    xyz = rng.uniform([-0.2, -0.8, -0.2], [0.2, 0.8, 0.2], (25, 3)) + [0, 0, 3]
    xyz = xyz + np.linspace(0, motion, frames)[:, None, None]
    colour = rng.uniform([40, 30], [WIDTH - 40, HEIGHT - 30], (frames, 25, 2))
    return np.concatenate([xyz, colour, np.full((frames, 25, 1), 2.0)], -1)


def skeleton(
    path: Path, tracks: Iterable[tuple[int, int, np.ndarray]], frames: int = FRAMES
) -> Path:
    """A .skeleton file as the authors write them; tracks: tracking id, first frame, joints."""
    tracks = list(tracks)
    lines = [str(frames)]
    for t in range(frames):
        here = [(ident, data[t - at]) for ident, at, data in tracks if at <= t < at + len(data)]
        lines.append(str(len(here)))
        for ident, joints in here:
            lines += [f"{ident} 0 1 1 0 0 0 0.02764709 0.05745083 2", "25"]
            for x, y, z, u, v, state in joints:
                depth = "277.4191 191.8218"
                turn = "-0.2059418 0.05349901 0.9692109 -0.1239193"
                lines.append(f"{x:.7g} {y:.7g} {z:.7g} {depth} {u:.7g} {v:.7g} {turn} {state:.0f}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\r\n".join(lines) + "\r\n")
    return path


def sample(root: Path, name: str = NAME, seed: int = 0) -> Path:
    return skeleton(root / "nturgb+d_skeletons" / f"{name}.skeleton", [(72, 0, body(seed))])


def video(root: Path, name: str, points: np.ndarray, *, size: tuple[int, int]) -> None:
    """A film with a red spot at points (T, 2), px from the centre of the first pixel."""
    folder = root / "nturgb+d_rgb"
    folder.mkdir(exist_ok=True)
    with VideoWriter(folder / "film.mp4", fps=30, size=size) as writer:
        for point in points:
            image = np.full((size[1], size[0], 3), 110, np.uint8)
            where = np.rint(point * 16).astype(int).tolist()
            cv2.circle(image, where, 6 * 16, (240, 20, 20), -1, cv2.LINE_AA, 4)
            writer.write(image)
    (folder / "film.mp4").rename(folder / f"{name}_rgb.avi")


def red_spot(image: np.ndarray) -> np.ndarray:
    redness = np.clip(image[..., 0].astype(float) - image[..., 1:].max(-1) - 60, 0, None)
    y, x = np.mgrid[: image.shape[0], : image.shape[1]] + 0.5
    return np.array([(x * redness).sum(), (y * redness).sum()]) / redness.sum()


class TestSkeleton:
    def test_paint_is_on_the_wrist_in_the_video(self, tmp_path: Path) -> None:
        sample(tmp_path)
        video(tmp_path, NAME, body(0)[:, L_WRIST, 3:5], size=(WIDTH, HEIGHT))
        for step in (1, 3):
            (record,) = ntu.load(tmp_path, "all", sides="kinect", step=step)
            record = pickle.loads(pickle.dumps(record))
            assert len(record) == FRAMES // step
            spots = np.stack([red_spot(record.frame(t)) for t in range(len(record))])
            error = record.xy[:, L_WRIST] - spots  # a film has half as many pixels for colour
            assert np.abs(error).max() < 0.7 and np.abs(error.mean(0)).max() < 0.3

    def test_what_the_name_says(self, tmp_path: Path) -> None:
        sample(tmp_path, "S005C003P012R002A042")
        (record,) = ntu.load(tmp_path, "all")
        assert (record.subject, record.view, record.action) == ("P012", "C003", 41)
        assert ntu.ACTIONS[41] == "staggering"
        assert record.source == "ntu/S005C003P012R002A042" and record.frame is None

    def test_metres_up_become_millimetres_down(self, tmp_path: Path) -> None:
        sample(tmp_path)
        (record,) = ntu.load(tmp_path, "all", sides="kinect")
        assert record.xyz is not None
        want = body(0)[..., :3] * [1000, -1000, 1000]
        np.testing.assert_allclose(record.xyz, want, atol=1e-3)

    @pytest.mark.parametrize(
        ("table", "layout"), [("pa16_from_ntu", PA16), ("pa20_from_ntu", PA20)]
    )
    def test_names_are_those_of_the_original_project(
        self, tmp_path: Path, table: str, layout
    ) -> None:
        sample(tmp_path)
        (record,) = ntu.load(tmp_path, "all")
        want = body(0)[:, list(DEEPHAR_INDEX[table]), 3:5] + 0.5
        np.testing.assert_allclose(convert(record.xy, NTU25, layout, derive=False), want, rtol=1e-5)

    def test_sides_exchange_names_alone(self, tmp_path: Path) -> None:
        sample(tmp_path)
        (picture,), (kinect,) = (ntu.load(tmp_path, "all", sides=s) for s in ("picture", "kinect"))
        np.testing.assert_array_equal(picture.xy[:, list(NTU25.flip)], kinect.xy)
        np.testing.assert_array_equal(picture.box, kinect.box)  # type: ignore[arg-type]

    def test_box_is_just_around_the_joints(self, tmp_path: Path) -> None:
        sample(tmp_path)
        (record,) = ntu.load(tmp_path, "all")
        colour = body(0)[..., 3:5] + 0.5
        assert record.box is not None
        np.testing.assert_allclose(record.box, np.hstack([colour.min(1), colour.max(1)]), rtol=1e-5)

    def test_inferred_joints_are_not_visible_and_untracked_unknown(self, tmp_path: Path) -> None:
        data = body(0)
        data[3, 4, 5], data[3, 8, 5], data[5, 9, 3] = 1, 0, -np.inf
        skeleton(tmp_path / f"{NAME}.skeleton", [(1, 0, data)])
        (record,) = ntu.load(tmp_path, "all", sides="kinect")
        assert record.visible is not None and record.xyz is not None
        assert np.argwhere(~record.visible).tolist() == [[3, 4], [3, 8], [5, 9]]
        for values in (record.xy, record.xyz):
            assert np.argwhere(np.isnan(values).all(-1)).tolist() == [[3, 8], [5, 9]]

    def test_unknown_numbers_of_windows_are_read(self, tmp_path: Path) -> None:
        path = sample(tmp_path)
        first = f"{body(0)[0, 0, 0]:.7g}"
        path.write_text(path.read_text().replace(first, "-1.#IND", 1))
        (record,) = ntu.load(tmp_path, "all")
        assert np.argwhere(np.isnan(record.xy).any(-1)).tolist() == [[0, 0]]

    @pytest.mark.parametrize("damage", ["cut", "more", "text", "joints"])
    def test_damaged_file_is_named(self, tmp_path: Path, damage: str) -> None:
        path = sample(tmp_path)
        text = path.read_text()
        broken = {
            "cut": text[: len(text) // 2].rsplit("\n", 1)[0],
            "more": text + "3\n",
            "text": text.replace(" 2\n", " two\n", 1),
            "joints": text.replace("\n25\n", "\n20\n", 1),
        }
        path.write_text(broken[damage])
        with pytest.raises(ValueError, match=rf"{NAME}\.skeleton"):
            ntu.load(tmp_path, "all")


class TestMainBody:
    def main(self, tmp_path: Path, *tracks: tuple[int, int, np.ndarray], frames: int = 60):
        return ntu.main_body(skeleton(tmp_path / "a.skeleton", tracks, frames))

    def test_the_one_who_moves_most(self, tmp_path: Path) -> None:
        still, mover = body(1, motion=0.1, frames=60), body(2, motion=0.9, frames=60)
        for tracks in ([(5, 0, still), (6, 0, mover)], [(5, 0, mover), (6, 0, still)]):
            np.testing.assert_allclose(self.main(tmp_path, *tracks), mover, rtol=1e-5)

    def test_ids_that_differ_beyond_double_precision_are_two_bodies(self, tmp_path: Path) -> None:
        a, b = 72057594037931101, 72057594037931102
        assert float(a) == float(b)
        still, mover = body(1, motion=0.1, frames=60), body(2, motion=0.9, frames=60)
        found = self.main(tmp_path, (a, 0, mover), (b, 0, still))
        np.testing.assert_allclose(found, mover, rtol=1e-5)

    def test_not_a_table_or_a_moment(self, tmp_path: Path) -> None:
        person, table = body(1, motion=0.2, frames=60), body(2, motion=2.0, frames=60)
        table[..., :2] = table[..., 1::-1]  # wider than high
        ghost = body(3, motion=9.0, frames=5)
        found = self.main(tmp_path, (1, 0, table), (2, 0, person), (3, 10, ghost))
        np.testing.assert_allclose(found, person, rtol=1e-5)

    def test_but_a_lying_person_where_there_is_no_other(self, tmp_path: Path) -> None:
        lying = body(2, frames=60)
        lying[..., :2] = lying[..., 1::-1]
        np.testing.assert_allclose(self.main(tmp_path, (1, 0, lying)), lying, rtol=1e-5)

    def test_lost_and_found_again_is_the_same(self, tmp_path: Path) -> None:
        person = body(1, motion=0.8, frames=60)
        other = body(2, motion=0.1, frames=50)
        found = self.main(tmp_path, (1, 0, person[:35]), (9, 40, person[40:]), (2, 5, other))
        np.testing.assert_allclose(found[:35], person[:35], rtol=1e-5)
        np.testing.assert_allclose(found[40:], person[40:], rtol=1e-5)
        assert np.isnan(found[35:40]).all()


class TestProtocols:
    def names(self, root: Path, split: str, **options) -> list[str]:
        return [r.source[4:] for r in ntu.load(root, split, **options)]

    def test_the_names_of_all_classes(self) -> None:
        assert len(ntu.ACTIONS) == len(set(ntu.ACTIONS)) == 120
        # The first and last of each set, and some in between, as the authors number them.
        numbered = {1: "drink", 9: "standing", 26: "hopping", 43: "falling", 49: "use a fan"}
        numbered |= {50: "punching", 60: "walking apart", 61: "put on head", 80: "squat down"}
        numbered |= {100: "butt", 112: "high-five", 120: "finger"}
        for number, start in numbered.items():
            assert ntu.ACTIONS[number - 1].startswith(start)

    def test_half_the_subjects_train(self) -> None:
        assert len(ntu.TRAIN_SUBJECTS) == 53
        assert len([s for s in ntu.TRAIN_SUBJECTS if s <= 40]) == 20

    def test_cross_subject_and_cross_view(self, tmp_path: Path) -> None:
        for name in ("S001C001P001R001A001", "S002C002P003R001A001", "S003C003P038R002A060"):
            sample(tmp_path, name)
        first, second, third = sorted(self.names(tmp_path, "all"))
        assert self.names(tmp_path, "train") == [first, third]
        assert self.names(tmp_path, "test") == [second]
        assert self.names(tmp_path, "train", protocol="cross_view") == [second, third]
        assert self.names(tmp_path, "test", protocol="cross_view") == [first]

    def test_the_larger_set(self, tmp_path: Path) -> None:
        small, even, odd = "S001C001P001R001A001", "S018C001P042R001A061", "S019C001P045R001A120"
        for name in (small, even, odd):
            sample(tmp_path, name)
        with pytest.warns(UserWarning, match="2 samples of NTU RGB.D 120"):
            assert self.names(tmp_path, "all") == [small]
        assert self.names(tmp_path, "train", classes=120) == [small, odd]
        sets = {
            s: self.names(tmp_path, s, classes=120, protocol="cross_setup")
            for s in ("train", "test")
        }
        assert sets == {"train": [even], "test": [small, odd]}

    def test_protocols_of_the_other_set_are_refused(self, tmp_path: Path) -> None:
        sample(tmp_path)
        with pytest.raises(ValueError, match="cross_subject, cross_view; got 'cross_setup'"):
            ntu.load(tmp_path, protocol="cross_setup")
        with pytest.raises(ValueError, match="cross_subject, cross_setup; got 'cross_view'"):
            ntu.load(tmp_path, classes=120, protocol="cross_view")
        with pytest.raises(ValueError, match="train, test, all; got 'val'"):
            ntu.load(tmp_path, "val")
        with pytest.raises(ValueError, match="no sample of split train"):
            ntu.load(tmp_path, "train")


class TestMissing:
    OTHERS = ("S001C001P001R001A002", "S001C001P001R001A003")

    def root(self, tmp_path: Path) -> Path:
        """One good sample, one without a body, one that is on the list."""
        sample(tmp_path)
        skeleton(tmp_path / "nturgb+d_skeletons" / f"{self.OTHERS[0]}.skeleton", [])
        sample(tmp_path, self.OTHERS[1])
        (tmp_path / "missing.txt").write_text(
            f"302 samples have missing skeletons.\n\n{self.OTHERS[1]}\nS017C003P020R001A059\n"
        )
        return tmp_path

    def test_empty_ones_are_counted_and_left_out(self, tmp_path: Path) -> None:
        with pytest.warns(UserWarning, match=rf"1 more.*{self.OTHERS[0]}.*left out") as caught:
            records = ntu.load(self.root(tmp_path), "all")
        assert len(caught) == 1
        assert [r.source[4:] for r in records] == [self.OTHERS[1], NAME]

    def test_the_authors_list(self, tmp_path: Path) -> None:
        root = self.root(tmp_path)
        with pytest.warns(UserWarning, match="1 samples of the list.* 1 more"):
            (record,) = ntu.load(root, "all", missing=root / "missing.txt")
        assert record.source == f"ntu/{NAME}"

    def test_or_they_are_kept_without_joints(self, tmp_path: Path) -> None:
        root = self.root(tmp_path)
        with pytest.warns(UserWarning, match="kept, without joints"):
            records = ntu.load(root, "all", missing=root / "missing.txt", keep_missing=True)
        assert [np.isnan(r.xy).all() for r in records] == [True, False, False]
        assert np.isnan(records[0].box).all() and len(records[0]) == FRAMES  # type: ignore[arg-type]

    def test_a_video_without_skeleton_counts(self, tmp_path: Path) -> None:
        sample(tmp_path)
        for name in (NAME, self.OTHERS[0]):
            video(tmp_path, name, body(0)[:, 0, 3:5], size=(WIDTH, HEIGHT))
        with pytest.warns(UserWarning, match="1 more"):
            assert len(ntu.load(tmp_path, "all")) == 1
        with pytest.warns(UserWarning, match="kept"):
            kept, _ = ntu.load(tmp_path, "all", keep_missing=True)
        assert len(kept) == FRAMES and kept.frame is not None
        assert kept.frame(FRAMES - 1).shape == (HEIGHT, WIDTH, 3)

    def test_a_missing_video_is_an_error(self, tmp_path: Path) -> None:
        sample(tmp_path)
        sample(tmp_path, self.OTHERS[0])
        video(tmp_path, NAME, body(0)[:, 0, 3:5], size=(WIDTH, HEIGHT))
        with pytest.raises(FileNotFoundError, match=rf"1 of 2 samples.*{self.OTHERS[0]}"):
            ntu.load(tmp_path, "all")

    def test_nothing_there(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"looked for S001C001P001R001A001\.skeleton"):
            ntu.load(tmp_path)
        sample(tmp_path)
        (tmp_path / "list.txt").write_text("nothing")
        with pytest.raises(ValueError, match="names no sample"):
            ntu.load(tmp_path, missing=tmp_path / "list.txt")


class TestOriginalProject:
    """nturgb+d_numpy/*.npy and images-small/NAME/00001.jpg."""

    def root(self, tmp_path: Path, *, small: bool) -> Path:
        data = body(0)
        rows = np.concatenate(
            [
                np.arange(1, FRAMES + 1)[:, None],
                np.zeros((FRAMES, 75)),
                *(data[..., 3], data[..., 4], data[..., 2] * 1000),
            ],
            1,
        )
        rows[2, 76 + 7] = -1  # u of joint 7
        (tmp_path / "nturgb+d_numpy").mkdir()
        np.save(tmp_path / "nturgb+d_numpy" / f"{NAME}.npy", rows)
        folder = tmp_path / ("images-small" if small else "images") / NAME
        folder.mkdir(parents=True)
        scale = 1 if small else 2
        for t, (x, y) in enumerate(data[:, L_WRIST, 3:5] + 0.5):
            image = np.full((HEIGHT * scale // 2, WIDTH * scale // 2, 3), 110, np.uint8)
            where = np.rint((np.array([x, y]) * scale / 2 - 0.5) * 16).astype(int).tolist()
            cv2.circle(image, where, 4 * 16, (20, 20, 240), -1, cv2.LINE_AA, 4)
            cv2.imwrite(str(folder / f"{t + 1:05d}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 98])
        return tmp_path

    @pytest.mark.parametrize("small", [True, False])
    def test_paint_is_on_the_wrist_in_the_pictures(self, tmp_path: Path, small: bool) -> None:
        root = self.root(tmp_path, small=small)
        for step in (1, 2):
            (record,) = ntu.load(root, "all", sides="kinect", step=step)
            assert record.frame is not None and len(record) == FRAMES // step
            for t in range(len(record)):
                np.testing.assert_allclose(
                    record.xy[t, L_WRIST], red_spot(record.frame(t)), atol=0.25
                )

    def test_depth_is_known_and_what_is_not_positive_is_not(self, tmp_path: Path) -> None:
        (record,) = ntu.load(self.root(tmp_path, small=False), "all", sides="kinect")
        assert record.xyz is not None
        known = np.isfinite(record.xyz[..., 2])
        assert np.argwhere(~known).tolist() == [[2, 7]]
        np.testing.assert_allclose(record.xyz[known, 2], body(0)[known, 2] * 1000, rtol=1e-6)
        assert np.isnan(record.xyz[..., :2]).all()
        np.testing.assert_array_equal(np.isfinite(record.xy).all(-1), known)

    def test_a_missing_picture_and_other_rows_are_errors(self, tmp_path: Path) -> None:
        root = self.root(tmp_path, small=True)
        (root / "images-small" / NAME / "00004.jpg").unlink()
        with pytest.raises(FileNotFoundError, match=r"1 pictures are missing.*00004\.jpg"):
            ntu.load(root, "all")
        np.save(root / "nturgb+d_numpy" / f"{NAME}.npy", np.zeros((FRAMES, 76)))
        with pytest.raises(ValueError, match=rf"{NAME}\.npy.*\(12, 76\)"):
            ntu.load(root, "all")


def test_several_processes_read_the_same(tmp_path: Path) -> None:
    for action in (1, 2, 3):
        sample(tmp_path, f"S001C002P003R001A{action:03d}", seed=action)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one, two = ntu.load(tmp_path, "all"), ntu.load(tmp_path, "all", workers=2)
    for a, b in zip(one, two, strict=True):
        assert a.source == b.source
        np.testing.assert_array_equal(a.xy, b.xy)
