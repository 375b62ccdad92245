"""Annotation files of others: what is honest is read as it is, what is not is refused by name."""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
from collections import Counter, OrderedDict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import savemat

from poseact.core.reading import read_json
from poseact.data.archives import (
    read_h5,
    read_mat,
    read_npy,
    read_npz,
    read_pickle,
    safe_join,
)


class Evil:
    """Its pickle makes a file when it is read."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.mark}",)


HONEST = {
    ("S1", "camera"): {"R": np.eye(3), "f": np.float32(3.5), "w": 1000, "names": ["a", b"b", b""]},
    "objects": np.array([np.zeros((2, 3)), "x", None, {"k": 1}], dtype=object),
    "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "ordered": OrderedDict(a=(1, 2.5, True), b={3}),
    "text": np.array(["one", "three"]),
}


def same(a: object, b: object) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return (
            a.shape == b.shape
            and a.dtype == b.dtype
            and all(same(x, y) for x, y in zip(a.ravel().tolist(), b.ravel().tolist(), strict=True))
        )
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    return type(a) is type(b) and a == b


class TestPickle:
    @pytest.mark.parametrize("protocol", range(6))
    def test_honest_ones_come_back(self, tmp_path: Path, protocol: int) -> None:
        path = tmp_path / "honest.pkl"
        path.write_bytes(pickle.dumps(HONEST, protocol=protocol))
        assert same(read_pickle(path), HONEST)

    def test_code_is_not_run_and_is_named(self, tmp_path: Path) -> None:
        mark, path = tmp_path / "mark", tmp_path / "evil.pkl"
        path.write_bytes(pickle.dumps({"R": np.eye(3), "x": Evil(mark)}))
        with pytest.raises(ValueError, match=r"evil\.pkl: it names .*system"):
            read_pickle(path)
        assert not mark.exists()
        pickle.loads(path.read_bytes())  # the trap is live
        assert mark.exists()

    @pytest.mark.parametrize(
        "code",
        [
            b"cbuiltins\neval\n(S'1'\ntR.",
            b"c__builtin__\ngetattr\n.",
            b"cnumpy\nload\n.",
            b"cfunctools\npartial\n.",
            b"\x80\x04\x8c\x05numpy\x8c\x0bndarray.max\x93.",
        ],
    )
    def test_other_names_are_refused(self, tmp_path: Path, code: bytes) -> None:
        path = tmp_path / "p.pkl"
        path.write_bytes(code)
        with pytest.raises(ValueError, match="it names"):
            read_pickle(path)

    def test_other_classes_are_refused_by_name(self, tmp_path: Path) -> None:
        path = tmp_path / "p.pkl"
        path.write_bytes(pickle.dumps(Counter("aab")))
        with pytest.raises(ValueError, match=r"collections\.Counter"):
            read_pickle(path)

    def test_no_memory_out_of_nothing(self, tmp_path: Path) -> None:
        path = tmp_path / "p.pkl"
        reconstruct = b"cnumpy.core.multiarray\n_reconstruct\n"
        objects = reconstruct + b"(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(L99999999999L\nt"
        objects += b"cnumpy\ndtype\n(S'O8'\nI0\nI1\ntRI00\n(ltb."
        bombs = [
            b"cnumpy\nndarray\n((L99999999999L\ntI1\ntR.",
            b"c__builtin__\nbytes\n(L99999999999L\ntR.",
            objects,
            b"I1\nr\xff\xff\xff\x7f.",  # a memo of 2^31 places: harmless in Python's unpickler
        ]
        for bomb in bombs[:3]:
            path.write_bytes(bomb)
            with pytest.raises(ValueError, match=r"p\.pkl"):
                read_pickle(path)
        path.write_bytes(bombs[3])
        assert read_pickle(path) == 1

    def test_functions_keep_their_attributes(self, tmp_path: Path) -> None:
        path = tmp_path / "p.pkl"
        path.write_bytes(b"c_codecs\nencode\n(dS'__defaults__'\nNsb.")
        with pytest.raises(ValueError, match="sets attributes of function"):
            read_pickle(path)

    @given(st.binary(max_size=60))
    def test_noise_is_a_value_or_a_value_error(
        self, tmp_path_factory: pytest.TempPathFactory, noise: bytes
    ) -> None:
        path = tmp_path_factory.getbasetemp() / "noise.pkl"
        path.write_bytes(noise)
        try:
            read_pickle(path)
        except ValueError as error:
            assert "noise.pkl" in str(error)

    def test_size_and_absence(self, tmp_path: Path) -> None:
        path = tmp_path / "p.pkl"
        path.write_bytes(pickle.dumps(b"x" * 1000))
        with pytest.raises(ValueError, match="more than the 100 "):
            read_pickle(path, max_bytes=100)
        with pytest.raises(FileNotFoundError, match="none"):
            read_pickle(tmp_path / "none.pkl")

    def test_real_cameras(self, shared_data: Path) -> None:
        cameras = read_pickle(shared_data / "samples" / "mmpose_h36m" / "cameras.pkl")
        assert cameras["S1", "54138969"]["R"].shape == (3, 3) and len(cameras) == 44


class TestNpz:
    def test_plain_and_objects_come_back(self, tmp_path: Path) -> None:
        path = tmp_path / "a.npz"
        arrays = {
            "plain": np.arange(6.0, dtype=">f4").reshape(2, 3),
            "fortran": HONEST["fortran"],
            "text": HONEST["text"],
            "empty": np.zeros((0, 3)),
            "scalar": np.array(7),
            "positions": np.array({"S1": {"Walking": np.ones((2, 3))}}, dtype=object),
        }
        np.savez_compressed(path, **arrays)
        found = read_npz(path)
        assert list(found) == list(arrays) and all(same(found[k], arrays[k]) for k in arrays)
        found["plain"][0, 0] = 5  # one's own copy

    def test_objects_that_run_code_are_refused(self, tmp_path: Path) -> None:
        mark, path = tmp_path / "mark", tmp_path / "a.npz"
        np.savez(path, x=np.array([Evil(mark)], dtype=object))
        with pytest.raises(ValueError, match=r"a\.npz: it names .*system"):
            read_npz(path)
        assert not mark.exists()

    def test_a_bomb_is_refused_before_it_is_unpacked(self, tmp_path: Path) -> None:
        path = tmp_path / "bomb.npz"
        np.savez_compressed(path, x=np.zeros(10_000_000, np.int8))
        assert path.stat().st_size < 100_000
        with pytest.raises(ValueError, match=r"bomb\.npz: holds 10000\d+ bytes, more than"):
            read_npz(path, max_bytes=1_000_000)

    def test_a_bomb_that_lies_of_its_size(self, tmp_path: Path) -> None:
        path = tmp_path / "bomb.npz"
        np.savez_compressed(path, x=np.zeros(10_000_000, np.int8))
        data = path.read_bytes()
        place = data.rindex(b"PK\x01\x02") + 24  # size when unpacked, in the directory
        path.write_bytes(data[:place] + struct.pack("<I", 500) + data[place + 4 :])
        with pytest.raises(ValueError, match=r"bomb\.npz"):
            read_npz(path, max_bytes=1_000_000)

    def test_a_header_that_lies_of_its_shape(self, tmp_path: Path) -> None:
        file = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)}
        )
        path = tmp_path / "a.npz"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x.npy", file.getvalue() + b"12345678")
        with pytest.raises(ValueError, match=r"cannot have 8 bytes"):
            read_npz(path)

    def test_damaged(self, tmp_path: Path) -> None:
        path = tmp_path / "a.npz"
        np.savez(path, x=np.arange(100))
        for data in (path.read_bytes()[:200], b"", b"not a zip"):
            path.write_bytes(data)
            with pytest.raises(ValueError, match=r"a\.npz"):
                read_npz(path)

    def test_npy(self, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", np.eye(2))
        assert same(read_npy(tmp_path / "a.npy"), np.eye(2))
        np.save(tmp_path / "b.npy", np.array([Evil(tmp_path / "mark")], dtype=object))
        with pytest.raises(ValueError, match="it names"):
            read_npy(tmp_path / "b.npy")


class TestMat:
    content = {
        "action": "squat",
        "x": np.arange(6.0).reshape(2, 3),
        "train": 1,
        "camera": {"R": np.eye(3), "name": "c1"},
    }

    @pytest.mark.parametrize("packed", [False, True])
    def test_structs_are_dicts(self, tmp_path: Path, packed: bool) -> None:
        savemat(tmp_path / "a.mat", self.content, do_compression=packed)
        found = read_mat(tmp_path / "a.mat")
        assert list(found) == list(self.content)
        assert found["action"] == "squat" and found["train"] == 1
        assert found["camera"]["name"] == "c1" and same(found["camera"]["R"], np.eye(3))
        raw = read_mat(tmp_path / "a.mat", simplify=False)
        assert raw["train"].shape == (1, 1)

    def test_a_bomb_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "bomb.mat"
        savemat(path, {"x": np.zeros(3_000_000)}, do_compression=True)
        assert path.stat().st_size < 200_000
        with pytest.raises(ValueError, match=r"bomb\.mat: holds \d+ bytes, more than"):
            read_mat(path, max_bytes=1_000_000)
        assert len(read_mat(path)["x"]) == 3_000_000

    def test_damaged(self, tmp_path: Path) -> None:
        path = tmp_path / "a.mat"
        savemat(path, self.content, do_compression=True)
        whole = path.read_bytes()
        for data in (
            whole[:-30],
            b"",
            b"text" * 100,
            whole[:128] + b"\x0e\0\0\0\x10\0\0\0" + b"?" * 16,
        ):
            path.write_bytes(data)
            with pytest.raises(ValueError, match=r"a\.mat"):
                read_mat(path)

    def test_version_73(self, tmp_path: Path) -> None:
        h5py = pytest.importorskip("h5py")
        path = tmp_path / "new.mat"
        with h5py.File(path, "w", userblock_size=512) as file:

            def text(where: h5py.Group, name: str, value: str) -> h5py.Dataset:
                node = where.create_dataset(name, data=np.array([[ord(c)] for c in value], "u2"))
                node.attrs["MATLAB_class"] = np.bytes_("char")
                return node

            numbers = file.create_dataset("x", data=np.arange(6.0).reshape(2, 3).T)
            numbers.attrs["MATLAB_class"] = np.bytes_("double")
            camera = file.create_group("camera")
            camera.attrs["MATLAB_class"] = np.bytes_("struct")
            text(camera, "name", "c1")
            refs = file.create_group("#refs#")
            cells = [text(refs, name, value) for name, value in (("a", "one"), ("b", "two"))]
            kind = h5py.ref_dtype
            cell = file.create_dataset("names", (2, 1), kind)
            cell.attrs["MATLAB_class"] = np.bytes_("cell")
            rows = file.create_group("rows").create_dataset("name", (2, 1), kind)
            for i, node in enumerate(cells):
                cell[i, 0] = rows[i, 0] = node.ref
            loop = refs.create_dataset("loop", (1, 1), kind)
            loop.attrs["MATLAB_class"] = np.bytes_("cell")
        with path.open("r+b") as file:
            file.write(b"MATLAB 7.3 MAT-file".ljust(128))
        found = read_mat(path)
        assert same(found["x"], np.arange(6.0).reshape(2, 3))
        assert found["camera"] == {"name": "c1"} and found["names"] == ["one", "two"]
        assert found["rows"] == [{"name": "one"}, {"name": "two"}]
        with pytest.raises(ValueError, match="more than the 10 "):
            read_mat(path, max_bytes=10)

    def test_real_file(self, shared_data: Path) -> None:
        folder = shared_data / "samples" / "mpii_annotations"
        assert read_mat(folder / "detections_our_format.mat")["headboxes_src"].shape == (2, 2, 2958)


class TestH5:
    def test_arrays_by_path_and_no_way_out(self, tmp_path: Path) -> None:
        h5py = pytest.importorskip("h5py")
        path, secret = tmp_path / "a.h5", tmp_path / "secret.h5"
        with h5py.File(secret, "w") as file:
            file["x"] = np.arange(3)
        with h5py.File(path, "w") as file:
            file["3D_positions/walk"] = np.ones((96, 4))
            file["n"] = 3
            file["3D_positions/back"] = file["/"]  # a circle
        found = read_h5(path)
        assert set(found) == {"3D_positions/walk", "n"} and found["n"] == 3
        with pytest.raises(ValueError, match="more than the 100 "):
            read_h5(path, max_bytes=100)
        with h5py.File(path, "a") as file:
            file["link"] = h5py.ExternalLink(str(secret), "x")
        with pytest.raises(ValueError, match=r"a\.h5: link is a link to another place"):
            read_h5(path)
        with h5py.File(path, "w") as file:
            layout = h5py.VirtualLayout((3,), "i8")
            layout[:] = h5py.VirtualSource(str(secret), "x", (3,))
            file.create_virtual_dataset("v", layout)
        with pytest.raises(ValueError, match="another file"):
            read_h5(path)
        path.write_bytes(b"no")
        with pytest.raises(ValueError, match=r"a\.h5: not a whole HDF5 file"):
            read_h5(path)


class TestJson:
    def test_honest_large_deep_and_broken(self, tmp_path: Path) -> None:
        path = tmp_path / "a.json"
        path.write_text('{"x": [1, "é"]}', encoding="utf-8")
        assert read_json(path) == {"x": [1, "é"]}
        with pytest.raises(ValueError, match="more than the 5 "):
            read_json(path, max_bytes=5)
        for text in ("[" * 200_000, "{", "\x00"):
            path.write_text(text)
            with pytest.raises(ValueError, match=r"a\.json"):
                read_json(path)


class TestSafeJoin:
    def test_inside(self, tmp_path: Path) -> None:
        assert safe_join(tmp_path, "a/b.jpg") == tmp_path / "a" / "b.jpg"
        assert safe_join(tmp_path, "a\\b.jpg") == tmp_path / "a" / "b.jpg"
        assert safe_join(tmp_path, "./a..b/c") == tmp_path / "a..b" / "c"

    @pytest.mark.parametrize(
        "path",
        [
            "/etc/passwd",
            "../x",
            "a/../../x",
            "a\\..\\x",
            "C:\\x",
            "C:x",
            "\\\\host\\x",
            "",
            ".",
            "a\0b",
        ],
    )
    def test_outside(self, path: str) -> None:
        with pytest.raises(ValueError, match="does not stay under"):
            safe_join("root", path)
