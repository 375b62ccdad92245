"""MATLAB files of version 5 to 7.2, walked tag by tag before scipy reads them.

scipy's reader is compiled and trusts the numbers in a file: a damaged one makes it read beyond its
memory, and the process is gone. What passes here has types that it knows, sizes that agree with one
another and lie in the file, and no more nesting or cells than the bytes that are there.
"""

from __future__ import annotations

import struct
import zlib
from math import prod

_MATRIX, _COMPRESSED = 14, 15
_INT8, _INT32, _UINT32, _UTF8 = 1, 5, 6, 16
_ITEM_BYTES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8}
"""Types of numbers in the file: 8, 16, 32 bits signed and not, single, double, 64 bits."""
_TEXT = {*_ITEM_BYTES, 16, 17, 18} - {7, 9, 12, 13}
_CELL, _STRUCT, _CHAR, _NUMBERS = 1, 2, 4, range(6, 16)
_COMPLEX = 0x0800
_DEEPEST, _MOST_AXES, _PAGE = 64, 32, 1 << 16


def checked(data: bytes, *, max_bytes: int) -> bytes:
    """The file with its variables unpacked; ValueError if anything in it is not as it should be.

    Objects, function handles and sparse matrices are refused, too: no data set has any.
    """
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128])
    if order is None or 0 in data[:4]:
        raise ValueError("not a MATLAB file of version 5 to 7.3; save it with -v7")
    head = b"MATLAB 5.0 MAT-file".ljust(116) + bytes(8) + data[124:128]
    parts, total, at = [head], len(head), 128
    while at < len(data):
        if at + 8 > len(data):
            raise ValueError("ends in the middle of a tag")
        kind, size = struct.unpack_from(order + "II", data, at)
        body = data[at + 8 : at + 8 + size]
        if len(body) < size:
            raise ValueError("is cut off")
        if kind == _COMPRESSED:
            body = _unpacked(body, max_bytes - total)
            kind, size = struct.unpack_from(order + "II", body)
            body = body[8 : 8 + size]
        if kind != _MATRIX or len(body) < size or not size:
            raise ValueError(f"a variable of type {kind} and {len(body)} bytes")
        _Walk(body, order).matrix(0)
        parts += [struct.pack(order + "II", kind, size), body]
        total += 8 + size
        at += 8 + struct.unpack_from(order + "I", data, at + 4)[0]
    return b"".join(parts)


def _unpacked(data: bytes, most: int) -> bytes:
    unzip = zlib.decompressobj()
    found = unzip.decompress(data, max(most, 0) + 1)
    if len(found) > most:
        raise ValueError(f"holds {len(found)} bytes, more than the {most} that are allowed here")
    if not unzip.eof:
        raise ValueError("a packed variable is cut off")
    return found


class _Walk:
    """Through one variable, in the order in which scipy reads it."""

    def __init__(self, data: bytes, order: str) -> None:
        self.data, self.at = data, 0
        self._two = struct.Struct(order + "II")
        self._order = order

    def matrix(self, depth: int) -> None:
        """From behind the tag of a matrix to its end."""
        if depth > _DEEPEST:
            raise ValueError(f"nested more than {_DEEPEST} deep")
        if self._pair() != (_UINT32, 8):
            raise ValueError("a matrix without its flags")
        flags, _ = self._pair()
        kind = flags & 0xFF
        dims = self._ints("axes", _MOST_AXES)
        count = prod(dims)
        self._name()
        if kind in _NUMBERS:
            for _ in range(2 if flags & _COMPLEX else 1):
                self._numbers(count)
        elif kind == _CHAR:
            self._text(count)
        elif kind == _CELL:
            self._cells(count, depth)
        elif kind == _STRUCT:
            (length,) = self._ints("length of names", 1)
            names, start = self._name()
            if length < 1 or names % length:
                raise ValueError(f"{names} letters for names of {length} each")
            self._check_names(start, names, length)
            self._cells(count * (names // length), depth, least=count)
        else:
            raise ValueError(f"holds something of class {kind}, which is not read here")

    def _check_names(self, start: int, size: int, length: int) -> None:
        names = {
            self.data[i : i + length].split(b"\0")[0] for i in range(start, start + size, length)
        }
        if b"" in names or len(names) < size // length:
            raise ValueError("a struct whose fields have no names, or twice the same")

    def _cells(self, count: int, depth: int, *, least: int = 0) -> None:
        most = (len(self.data) - self.at) // 8
        if count > most or least > max(most, _PAGE):
            raise ValueError(f"{max(count, least)} cells in {len(self.data) - self.at} bytes")
        for _ in range(count):
            kind, size = self._pair()
            if kind != _MATRIX:
                raise ValueError(f"a cell of type {kind}")
            if size:
                self.matrix(depth + 1)

    def _numbers(self, count: int) -> None:
        kind, size, _ = self._element()
        if kind not in _ITEM_BYTES or size != count * _ITEM_BYTES[kind]:
            raise ValueError(f"{size} bytes of type {kind} for {count} numbers")

    def _text(self, count: int) -> None:
        kind, size, _ = self._element()
        if kind not in _TEXT or count > max(size, 0 if size else _PAGE):
            raise ValueError(f"{size} bytes of type {kind} for {count} letters")

    def _ints(self, what: str, most: int) -> tuple[int, ...]:
        kind, size, start = self._element()
        if kind not in (_INT32, _UINT32) or size % 4 or not 4 <= size <= 4 * most:
            raise ValueError(f"{what} of type {kind} in {size} bytes")
        found = struct.unpack_from(f"{self._order}{size // 4}i", self.data, start)
        if min(found) < 0:
            raise ValueError(f"{what} {found}")
        return found

    def _name(self) -> tuple[int, int]:
        """Bytes of a name, and where it starts."""
        kind, size, start = self._element()
        if kind not in (_INT8, _UTF8) or not self.data[start : start + size].isascii():
            raise ValueError(f"a name of type {kind}")
        return size, start

    def _element(self) -> tuple[int, int, int]:
        """Type, bytes and place of an element's data; a short one has them in its tag."""
        kind, size = self._pair()
        if kind >> 16:
            kind, size = kind & 0xFFFF, kind >> 16
            if size > 4:
                raise ValueError(f"a short element of {size} bytes")
            return kind, size, self.at - 4
        start = self.at
        self._skip(size)
        self.at = min(self.at + -size % 8, len(self.data))  # the last one may do without
        return kind, size, start

    def _pair(self) -> tuple[int, int]:
        self._skip(8)
        return self._two.unpack_from(self.data, self.at - 8)

    def _skip(self, size: int) -> None:
        self.at += size
        if self.at > len(self.data):
            raise ValueError("an element goes on beyond its variable")
