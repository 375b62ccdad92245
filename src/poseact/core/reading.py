"""Reading what others wrote: whatever is wrong in a file ends as one line that names the file."""

from __future__ import annotations

import csv
import json
import pickle
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MAX_JSON_BYTES = 1 << 30

_DAMAGE = (
    *(ValueError, TypeError, AttributeError, LookupError, ArithmeticError, MemoryError, EOFError),
    *(RuntimeError, AssertionError, SyntaxError, tokenize.TokenError),
    *(struct.error, zlib.error, zipfile.BadZipFile, pickle.UnpicklingError, csv.Error),
)
"""What foreign bytes make of code that takes them for what they should be: keys that are missing,
other types and shapes, integers beyond 64 bits (OverflowError), nesting without end
(RecursionError), and the errors of the libraries that decode."""


class Unreadable(ValueError):
    """A file that is not what it should be; the message names it."""


@contextmanager
def understood(path: str | Path) -> Iterator[None]:
    """The one door for foreign bytes: what their reading inside raises is an `Unreadable`.

    Around the parsing of a file and nothing else, lest it hide a fault of ours. A ValueError's
    words stay and get the name in front, unless they name the file already. OSError that names a
    file, and ImportError, pass unchanged.

    >>> with understood("poses.json"):
    ...     {"frame": 1}["people"]
    Traceback (most recent call last):
    poseact.core.reading.Unreadable: poses.json: damaged, or of another form (KeyError: 'people')
    """
    try:
        yield
    except Unreadable:
        raise
    except OSError as error:
        if error.filename is not None or isinstance(error, FileNotFoundError):
            raise
        raise Unreadable(f"{path}: damaged, or of another form ({error})") from error
    except _DAMAGE as error:
        raise Unreadable(_line(path, error)) from error


def _line(path: str | Path, error: Exception) -> str:
    if isinstance(error, RecursionError):
        return f"{path}: nested too deeply"
    if isinstance(error, MemoryError):
        return f"{path}: needs more memory than there is ({error or 'MemoryError'})"
    words = " ".join(str(error).split())
    if isinstance(error, ValueError):
        return words if str(path) in words else f"{path}: {words}"
    return f"{path}: damaged, or of another form ({type(error).__name__}: {words})"


def read_json(path: str | Path, *, max_bytes: int = MAX_JSON_BYTES) -> Any:
    """What a JSON file (UTF-8) holds; FileNotFoundError, or `Unreadable`."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    with understood(path):
        if (size := path.stat().st_size) > max_bytes:
            raise ValueError(f"holds {size} bytes, more than the {max_bytes} that are allowed here")
        try:
            return json.loads(path.read_bytes())
        except ValueError as error:
            raise ValueError(f"{path} is not JSON ({error})") from error
