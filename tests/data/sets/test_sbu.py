"""SBU: millimetres from the normalised numbers, the five folds, two persons, lazy pictures."""

from __future__ import annotations

import warnings
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
import pytest

from poseact.core.layouts import SBU15
from poseact.data.sets.sbu import ACTIONS, FOLDS, load, millimetres
from poseact.data.sets.skeletons import pairs

PAIRS = tuple(chain(*FOLDS))
FIRST = 278  # the files count from the camera's first frame, not from the sequence's


def numbers(seed: int, frames: int = 4) -> np.ndarray:
    """(T, 91) as the authors write them."""
    points = np.random.default_rng(seed).uniform([0, 0.3, 1.2], [1, 1.2, 2.2], (frames, 30, 3))
    return np.concatenate(
        [np.arange(FIRST, FIRST + frames)[:, None], points.reshape(frames, -1)], 1
    )


def write(root: Path, pair: str, action: int, number: int, table: np.ndarray) -> Path:
    path = root / pair / f"{action:02d}" / f"{number:03d}" / "skeleton_pos.txt"
    path.parent.mkdir(parents=True)
    lines = [",".join([str(int(row[0])), *(f"{v:.5g}" for v in row[1:])]) for row in table]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture()
def root(tmp_path: Path) -> Path:
    """Two sequences of every pair; one pair lies twice as deep, as its zip has it."""
    for i, pair in enumerate(PAIRS):
        top = tmp_path / pair if pair == "s01s02" else tmp_path
        write(top, pair, 1 + i % 8, 1, numbers(i))
        write(top, pair, 8, 2, numbers(100 + i))
    return tmp_path


class TestFolds:
    def test_folds_hold_each_pair_once(self) -> None:
        assert len(PAIRS) == len(set(PAIRS)) == 21

    def test_every_sequence_is_tested_once(self, root: Path) -> None:
        tested: list[str] = []
        for fold in range(1, 6):
            test = {r.source for r in load(root, "test", fold=fold)}
            train = {r.source for r in load(root, "train", fold=fold)}
            assert {source.split("/")[1] for source in test} == set(FOLDS[fold - 1])
            assert not test & train and len(test | train) == 42
            tested += test
        assert len(tested) == len(set(tested)) == 42

    def test_random_folds_are_even_and_hang_on_the_seed(self, root: Path) -> None:
        def tests(seed: int) -> list[set[str]]:
            return [
                {r.source for r in load(root, "test", fold=f, protocol="random", seed=seed)}
                for f in range(1, 6)
            ]

        assert sorted(len(fold) for fold in tests(0)) == [8, 8, 8, 9, 9]
        assert len(set.union(*tests(0))) == 42
        assert tests(0) == tests(0) != tests(1)


class TestLoad:
    def test_records(self, root: Path) -> None:
        both = pairs(load(root, "all"))
        assert len(both) == 42
        first, second = next(p for p in both if p[0].source == "sbu/s03s02/08/002")
        assert (first.subject, second.subject) == ("s03", "s02")
        assert first.action == second.action == ACTIONS.index("punching")
        table = numbers(100 + PAIRS.index("s03s02"))
        for person, record in enumerate((first, second)):
            assert record.layout == SBU15 and record.frame is None and len(record) == 4
            assert record.xyz is not None and np.isnan(record.xy).all()
            x, y, z = table[2, 1 + 45 * person + 3 * 5 :][:3]  # the sixth joint
            expected = [-(1280 - 2560 * x), -(960 - 1920 * y), 1280 * z]
            np.testing.assert_allclose(record.xyz[2, SBU15.index("l_hand")], expected, atol=0.2)

    def test_a_real_line(self) -> None:
        # The start of the file of a real sequence: head and neck of the first person.
        head, neck = millimetres(np.array([[0.62886, 0.34175, 1.7025], [0.63815, 0.44808, 1.6499]]))
        assert head[1] < neck[1]  # y is down
        assert np.linalg.norm(head - neck) == pytest.approx(217, abs=2)
        assert head[2] == pytest.approx(2179.2)

    def test_zeros_are_nan(self, tmp_path: Path) -> None:
        table = numbers(0)
        table[1, 1:4] = 0
        write(tmp_path, "s01s02", 1, 1, table)
        first, second = load(tmp_path, "all")
        assert first.xyz is not None and second.xyz is not None
        assert np.isnan(first.xyz).sum() == 3 and np.isnan(first.xyz[1, 0]).all()
        assert not np.isnan(second.xyz).any()

    def test_bad_lines_are_counted(self, tmp_path: Path) -> None:
        path = write(tmp_path, "s01s02", 1, 1, numbers(0))
        path.write_text(path.read_text() + "5,0.1,0.2\n\n7,8\n")
        with pytest.warns(UserWarning, match="2 lines do not have 91 numbers"):
            records = load(tmp_path, "all")
        assert [len(r) for r in records] == [4, 4]
        for text in ("1,2,3\n", "", ",".join(["x"] * 91), "\xff\xfe"):
            path.write_text(text, encoding="latin1")
            with pytest.raises(ValueError, match="skeleton_pos.txt"):
                load(tmp_path, "all")

    def test_pictures_are_those_of_the_lines(self, tmp_path: Path) -> None:
        folder = write(tmp_path, "s01s02", 1, 1, numbers(0)[::2]).parent  # a gap between lines
        for i in range(4):
            image = np.full((4, 6, 3), 10 * i, np.uint8)
            cv2.imwrite(str(folder / f"rgb_{FIRST + i:06d}.png"), image)
        first, second = load(tmp_path, "all")
        assert first.frame is not None and second.frame is not None
        assert first.frame(1).mean() == second.frame(1).mean() == 20
        (folder / f"rgb_{FIRST + 2:06d}.png").unlink()
        with pytest.raises(FileNotFoundError, match="1 of 2 pictures are missing"):
            load(tmp_path, "all")

    def test_what_is_not_sbu_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="looked for"):
            load(tmp_path)
        write(tmp_path / "a", "s01s02", 9, 1, numbers(0))
        with pytest.raises(ValueError, match="got s01s02/09"):
            load(tmp_path / "a")
        write(tmp_path / "b", "s09s02", 1, 1, numbers(0))
        with pytest.raises(ValueError, match="21 pairs"):
            load(tmp_path / "b")
        write(tmp_path / "c", "s01s02", 1, 1, numbers(0))
        write(tmp_path / "c" / "again", "s01s02", 1, 1, numbers(0))
        with pytest.raises(ValueError, match="twice"):
            load(tmp_path / "c")
        for wrong in ({"split": "val"}, {"fold": 6}, {"protocol": "mine"}):
            with pytest.raises(ValueError, match="mine|folds"):
                load(tmp_path / "b" / ".." / "c" / "s01s02", **wrong)

    def test_no_warning_without_a_reason(self, root: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            load(root, "all")
