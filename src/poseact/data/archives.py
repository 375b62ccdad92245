"""Annotation files of others, read without giving them the power to run code or to fill memory.

.npz and .npy (also with objects), .pkl, .mat (5 to 7.3) and .h5. A pickle may name numpy's arrays,
data types and scalars and Python's plain containers and numbers, and nothing else.
Every reader raises FileNotFoundError, or what `core.reading.understood` makes of a bad file.
"""

from __future__ import annotations

import io
import math
import os
import pickle
import re
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from poseact.core.reading import understood
from poseact.data import mat5

MAX_BYTES = 4 << 30
"""What a file may hold, unpacked, unless the caller says otherwise."""


def safe_join(root: str | Path, relative: str) -> Path:
    """`root / relative` for a path that stands in an annotation file; `\\` counts as `/`.

    It must stay under root: an absolute path, a drive, `..` or an empty one is a ValueError. Links
    inside root are the user's own and are followed.
    """
    path = PurePosixPath(str(relative).replace("\\", "/"))
    plain = path.parts and not path.is_absolute() and not PureWindowsPath(relative).drive
    if not plain or ".." in path.parts or "\0" in str(relative):
        raise ValueError(
            f"path {str(relative)!r} in an annotation file does not stay under {root}; "
            "it must be relative and without '..'"
        )
    return Path(root) / path


# ------------------------------------------------------------------------------ numpy and pickle


def read_npz(path: str | Path, *, max_bytes: int = MAX_BYTES) -> dict[str, np.ndarray]:
    """The arrays of an .npz by name; arrays of objects as in `read_pickle`."""
    with _named(path), zipfile.ZipFile(path) as archive:
        _bound(sum(entry.file_size for entry in archive.infolist()), max_bytes)
        return {
            entry.filename.removesuffix(".npy"): _array(_member(archive, entry))
            for entry in archive.infolist()
        }


def default_cache() -> Path:
    """`POSEACT_CACHE`, or `~/.cache/poseact`."""
    return Path(os.environ.get("POSEACT_CACHE") or Path.home() / ".cache" / "poseact")


def read_npy(path: str | Path, *, max_bytes: int = MAX_BYTES) -> np.ndarray:
    """The array of an .npy; an array of objects as in `read_pickle`."""
    with _named(path):
        return _array(_bytes(path, max_bytes))


def read_pickle(path: str | Path, *, max_bytes: int = MAX_BYTES) -> Any:
    """What a pickle holds, of numpy's arrays and numbers and Python's plain types only.

    Anything else is a ValueError that names the class. Strings of Python 2 are read as latin-1.
    """
    with _named(path):
        return _unpickle(_bytes(path, max_bytes))


def _member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """No more than its directory entry says; a longer one fails at its checksum."""
    with archive.open(entry) as file:
        return file.read(entry.file_size + 1)


def _array(data: bytes) -> np.ndarray:
    """From the bytes of an .npy."""
    file = io.BytesIO(data)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    version = np.lib.format.read_magic(file)
    if version not in readers:
        raise ValueError(f"array format {version} is not known; save it again with numpy.save")
    shape, fortran, dtype = readers[version](file)
    if dtype.hasobject:
        array = _unpickle(data[file.tell() :])
        if not isinstance(array, np.ndarray) or array.dtype != dtype or array.shape != shape:
            raise ValueError("an array of objects is not what its header says")
        return array
    found = len(data) - file.tell()
    if math.prod(shape) * dtype.itemsize != found:
        raise ValueError(f"an array of shape {shape} and type {dtype} cannot have {found} bytes")
    flat = np.frombuffer(data, dtype, math.prod(shape), file.tell()).copy()
    return flat.reshape(shape, order="F" if fortran else "C")


def _unpickle(data: bytes) -> Any:
    return _Plain(io.BytesIO(data), encoding="latin1").load()


# Python's own in Python: the one in C makes a table as long as a pickle tells it to.
_PythonUnpickler: Any = pickle._Unpickler


class _Plain(_PythonUnpickler):
    dispatch = dict(_PythonUnpickler.dispatch)

    def find_class(self, module: str, name: str) -> Any:
        module = {"__builtin__": "builtins"}.get(module, module).replace(
            "numpy._core", "numpy.core"
        )
        if (module, name) not in _ALLOWED:
            raise ValueError(
                f"it names {module}.{name}, and only plain containers, numbers and numpy arrays "
                "are read; convert it where you trust it, e.g. to .npz"
            )
        return _ALLOWED[module, name]

    def load_build(self) -> None:
        """The state of an array or data type; nothing else here has attributes to be set."""
        made, state = self.stack[-2:]
        if isinstance(made, np.ndarray):
            _check_state(*state)
        elif isinstance(made, np.dtype):
            self.stack[-1] = _order_of_bytes(made, state)
        else:
            raise ValueError(f"it sets attributes of {type(made).__name__}")
        super().load_build()

    dispatch[pickle.BUILD[0]] = load_build

    def load_bytearray8(self) -> None:
        """Python's makes room for as many bytes as the pickle says before it looks for them."""
        (size,) = struct.unpack("<Q", self.read(8))
        self.append(bytearray(self.read(size)))

    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8


_PLAIN_TYPE = re.compile(r"[<>|=]?(?:[?biufc]\d{0,2}|[SU]\d{1,6}|O\d?)")


def _dtype(text: Any, *_: Any) -> np.dtype:
    """A type of its own, from a plain name: no fields, no dimensions, no metadata."""
    if not isinstance(text, str) or not _PLAIN_TYPE.fullmatch(text):
        raise ValueError(f"it makes a data type of {text!r:.60}")
    return np.dtype(text, copy=True)


def _order_of_bytes(made: np.dtype, state: Any) -> tuple[Any, ...]:
    """The state of a plain type with nothing of the pickle's in it but which byte comes first.

    numpy believes the rest: a size or flags of one's own make it read foreign memory.
    """
    order = state[1]
    if order not in ("<", ">", "|", "=") or any(part is not None for part in state[2:5]):
        raise ValueError(f"it makes a data type with the state {state!r:.60}")
    text = made.kind in "SU"
    size, alignment = (made.itemsize, made.alignment) if text else (-1, -1)
    return 3, order, None, None, None, size, alignment, made.flags


def _check_state(
    _: int, shape: tuple[int, ...], dtype: np.dtype, fortran: bool, raw: bytes | str | list
) -> None:
    """numpy would make an array of objects as large as its shape says before it looks at `raw`."""
    if not isinstance(dtype, np.dtype) or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError(f"an array of shape {shape!r:.60} and type {dtype!r:.60}")
    unit = 1 if dtype.hasobject else dtype.itemsize
    if isinstance(raw, list) != dtype.hasobject or math.prod(shape) * unit != len(raw):
        raise ValueError(f"an array of shape {shape} and type {dtype} cannot have {len(raw)} items")


def _reconstruct(kind: str, *_: Any) -> np.ndarray:
    """An empty array, filled by the state that follows."""
    if kind != _NDARRAY:
        raise ValueError(f"it makes an array of kind {kind}")
    return np.empty(0, np.int8)


def _scalar(dtype: np.dtype, data: bytes | str) -> Any:
    if not isinstance(dtype, np.dtype) or dtype.hasobject:
        raise ValueError(f"it makes a number of type {dtype}")
    raw = data.encode("latin1") if isinstance(data, str) else data
    return np.frombuffer(raw, dtype, 1)[0]


def _from_buffer(data: bytes, dtype: np.dtype, shape: tuple[int, ...], order: str) -> np.ndarray:
    return np.frombuffer(data, dtype).reshape(shape, order="F" if order == "F" else "C").copy()


def _encode(text: str, codec: str) -> bytes:
    """How bytes stand in pickles that Python 2 can read."""
    if codec not in ("latin1", "latin-1"):
        raise ValueError(f"it encodes as {codec!r}")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """How b'' stands in pickles that Python 2 can read; bytes(n) would be n zeros."""
    return b""


_NDARRAY = "numpy.ndarray"  # a name only: the class itself would make arrays of any size

_ALLOWED: dict[tuple[str, str], Any] = {
    **{("builtins", t.__name__): t for t in (list, dict, tuple, str, int, float, bool, set)},
    ("builtins", "frozenset"): frozenset,
    ("builtins", "complex"): complex,
    ("builtins", "bytes"): _no_bytes,
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): _encode,
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _dtype,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
}


# ------------------------------------------------------------------------------ MATLAB and HDF5


def read_mat(
    path: str | Path, *, simplify: bool = True, max_bytes: int = MAX_BYTES
) -> dict[str, Any]:
    """The variables of a .mat of any version, by name.

    simplify: structs are dicts, cells and arrays of structs are lists, and axes of length 1 are
    gone: a list of one is the thing itself. Without it, scipy's own arrays (not for version 7.3,
    where axes are MATLAB's, in its order, and structs are always dicts). Raises ImportError for
    version 7.3 without h5py.
    """
    from scipy.io import loadmat

    with _named(path):
        with Path(path).open("rb") as file:
            start = file.read(128)
        if start.startswith(b"MATLAB 7.3"):
            return _read_mat73(path, simplify, max_bytes)
        data = mat5.checked(_bytes(path, max_bytes), max_bytes=max_bytes)
        found = loadmat(io.BytesIO(data), simplify_cells=simplify)
    return {name: value for name, value in found.items() if not name.startswith("__")}


def read_h5(path: str | Path, *, max_bytes: int = MAX_BYTES) -> dict[str, np.ndarray]:
    """The arrays of an HDF5 file by their path in it ('group/name'); no link leaves the file.

    Raises ImportError without h5py.
    """
    with _named(path), _opened_h5(path, max_bytes) as file:
        return {name: np.asarray(data[()]) for name, data in _datasets(file)}


@contextmanager
def _opened_h5(path: str | Path, max_bytes: int) -> Iterator[Any]:
    try:
        import h5py
    except ImportError as error:
        raise ImportError(
            f"{path}: HDF5 files are read with h5py: pip install 'poseact[keras]'"
        ) from error
    try:
        with h5py.File(path, "r") as file:
            _bound(sum(data.nbytes for _, data in _datasets(file)), max_bytes)
            yield file
    except (OSError, RuntimeError, KeyError) as error:
        raise ValueError(f"not a whole HDF5 file ({error}); copy or download it again") from error


def _datasets(file: Any) -> Iterator[tuple[str, Any]]:
    """Every dataset once, hard links only, and none whose numbers lie in another file."""
    import h5py

    waiting: list[tuple[str, Any]] = [("", file)]
    seen = {file["/"].id}
    while waiting:
        where, group = waiting.pop()
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ValueError(f"{where}{name} is a link to another place")
            node = group[name]
            if isinstance(node, h5py.Group):
                if node.id not in seen:
                    seen.add(node.id)
                    waiting.append((f"{where}{name}/", node))
            elif isinstance(node, h5py.Dataset):
                if node.is_virtual or node.external:
                    raise ValueError(f"the numbers of {where}{name} lie in another file")
                yield where + name, node


def _read_mat73(path: str | Path, simplify: bool, max_bytes: int) -> dict[str, Any]:
    with _opened_h5(path, max_bytes) as file:
        read = _Mat73(simplify)
        return {name: read(file[name]) for name in file if not name.startswith("#")}


class _Mat73:
    """MATLAB's values as HDF5 keeps them: axes reversed, text as numbers, cells as references."""

    def __init__(self, simplify: bool) -> None:
        self.simplify = simplify
        self._read: dict[str, Any] = {}  # a value that two cells name is read once

    def __call__(self, node: Any, *, depth: int = 0) -> Any:
        import h5py

        if depth > 20:
            raise ValueError("nested more than 20 deep")
        if node.name not in self._read:
            group = isinstance(node, h5py.Group)
            self._read[node.name] = (self._struct if group else self._data)(node, depth + 1)
        return self._read[node.name]

    def _struct(self, node: Any, depth: int) -> Any:
        import h5py

        fields = {name: self(node[name], depth=depth) for name in node}
        # An array of structs has a bare table of references under each field.
        table = all(
            isinstance(n, h5py.Dataset) and n.dtype.hasobject and "MATLAB_class" not in n.attrs
            for n in node.values()
        )
        if not table or not fields:
            return fields
        if not all(isinstance(value, list) for value in fields.values()):
            return fields  # simplified: an array of one
        rows = zip(*fields.values(), strict=True)
        return [dict(zip(fields, row, strict=True)) for row in rows]

    def _data(self, node: Any, depth: int) -> Any:
        kind = node.attrs.get("MATLAB_class", b"")
        if "MATLAB_empty" in node.attrs:
            return {b"char": "", b"cell": []}.get(kind, np.zeros(0))
        data = np.asarray(node[()]).T
        if data.dtype == object:
            cells = [self(node.file[r], depth=depth) for r in data.ravel("F")]
            return cells[0] if self.simplify and len(cells) == 1 else cells
        if kind == b"char":
            return "".join(map(chr, data.ravel()))
        data = data.astype(bool) if kind == b"logical" else data
        if not self.simplify:
            return data
        return data.squeeze() if data.size != 1 else data.item()


# -------------------------------------------------------------------------------------- shared


@contextmanager
def _named(path: str | Path) -> Iterator[None]:
    """`understood`, of a file that is there."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    with understood(path):
        yield


def _bytes(path: str | Path, max_bytes: int) -> bytes:
    _bound(Path(path).stat().st_size, max_bytes)
    return Path(path).read_bytes()


def _bound(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise ValueError(f"holds {size} bytes, more than the {max_bytes} that are allowed here")
