"""Spoilt files, read in forked workers with limits; what must not come of it is counted.

python -m tests.fuzz.attack [N] [--seed S] [--only READER] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import pickle
import random
import re
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from poseact.core.console import EXPECTED
from tests.fuzz.seeds import READERS, Reader

LIMIT_S = 20
"""Of one file, on a busy machine."""
LIMIT_BYTES = 1 << 30
"""What reading a small file may take beyond what the process has."""


class Outcome(NamedTuple):
    """kind: read, refused, or a fault: traceback, unnamed, memory, crash, hang."""

    kind: str
    words: str = ""

    @property
    def is_fault(self) -> bool:
        return self.kind not in ("read", "refused")


# ------------------------------------------------------------------------------- spoiling


def spoilt(data: bytes, rng: random.Random) -> bytes:
    """A file with one to four things wrong in it."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        data = rng.choice(_WAYS)(data, rng)
    return data


def _flip(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        if out:
            out[rng.randrange(len(out))] = rng.randrange(256)
    return bytes(out)


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _repeat(data: bytes, rng: random.Random) -> bytes:
    a, b = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    return data[:b] + data[a:b] * rng.choice((1, 2, 20)) + data[b:]


def _drop(data: bytes, rng: random.Random) -> bytes:
    a = rng.randrange(len(data) + 1)
    return data[:a] + data[a + rng.choice((1, 2, 4, 8, 64)) :]


def _number(data: bytes, rng: random.Random) -> bytes:
    """Four or eight bytes become a number that is awkward."""
    width = rng.choice((2, 4, 8))
    value = rng.choice((0, 1, 0xFF, 0x7FFF, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**64 - 1))
    a = rng.randrange(len(data) + 1)
    raw = (value % 256**width).to_bytes(width, rng.choice(("little", "big")))
    return data[:a] + raw + data[a + width :]


_TEXTS = (
    *(b"null", b"[]", b"{}", b'""', b"true", b"-1", b"0", b"1e308", b"NaN", b"Infinity", b'"x"'),
    *(b"1" + b"0" * 400, b"[" * 3000, b"[[1]]", b"0.5", b'{"a": 1}', b"1e-320", b"\xff\xfe"),
)


def _text(data: bytes, rng: random.Random) -> bytes:
    """A word or number of a text becomes another kind of thing."""
    words = list(re.finditer(rb"-?\d[\d.e+-]*|\"[^\"]{0,40}\"|null|true|false", data))
    if not words:
        return _flip(data, rng)
    word = rng.choice(words)
    return data[: word.start()] + rng.choice(_TEXTS) + data[word.end() :]


_WAYS = (_flip, _flip, _cut, _repeat, _drop, _number, _number, _text, _text)


# ------------------------------------------------------------------------------- reading


def outcome(reader: Reader, root: Path) -> Outcome:
    """What reading the folder comes to, in this process."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader.read(root)
    except EXPECTED as error:
        if isinstance(error.__cause__, MemoryError):
            return Outcome("memory", _place(error.__cause__))
        named = Path(reader.file).name in str(error) or str(root) in str(error)
        return Outcome("refused" if named else "unnamed", f"{error!r:.300} {_place(error)}")
    except MemoryError as error:
        return Outcome("memory", _place(error))
    except Exception as error:
        return Outcome("traceback", f"{error!r:.200} {_place(error)}")
    return Outcome("read")


def _place(error: BaseException) -> str:
    """Where it was raised: the last line of ours."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "poseact" in f.filename or "tests" in f.filename]
    return f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "?"


def attack(name: str, files: Sequence[bytes]) -> list[Outcome]:
    """The outcome of every file, read by a reader; a worker that dies is replaced."""
    reader, found = READERS[name], []
    with tempfile.TemporaryDirectory() as folder:
        seed = Path(folder, "seed")
        seed.mkdir()
        reader.seed(seed)
        while len(found) < len(files):
            found += _worker(reader, seed, files[len(found) :], Path(folder, "work"))
    return found


def _worker(reader: Reader, seed: Path, files: Sequence[bytes], work: Path) -> list[Outcome]:
    """Outcomes as far as one forked process gets; of the file that ends it, too."""
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(seed, work)
    ours, theirs = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads: the child makes none
        pid = os.fork()
    if pid == 0:
        os.close(ours)
        _work(reader, files, work, theirs)
    os.close(theirs)
    found: list[Outcome] = []
    buffer = b""
    with os.fdopen(ours, "rb", buffering=0) as pipe:
        while True:
            ready, _, _ = select.select([pipe], [], [], LIMIT_S)
            part = pipe.read(1 << 16) if ready else b""
            buffer += part
            *lines, buffer = buffer.split(b"\n")
            found += [Outcome(*pickle.loads(bytes.fromhex(line.decode()))) for line in lines]
            if not part:
                break
    hung = not ready
    if hung:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if len(found) < len(files):
        died = os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        found.append(Outcome("hang") if hung else Outcome("crash", f"signal or status {died}"))
    return found


def _work(reader: Reader, files: Sequence[bytes], work: Path, pipe: int) -> None:
    """In the child: never returns."""
    try:
        faulthandler.disable()
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, 2)  # libraries complain about damage
        os.dup2(devnull, 1)
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + LIMIT_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        place = work / reader.file
        for data in files:
            place.write_bytes(data)
            found = outcome(reader, work)
            os.write(pipe, pickle.dumps(tuple(found)).hex().encode() + b"\n")
    finally:
        os._exit(0)


# ------------------------------------------------------------------------------- many


def mutants(name: str, rng: random.Random) -> Iterator[bytes]:
    """Spoilt forms of a reader's good file, without end."""
    with tempfile.TemporaryDirectory() as folder:
        READERS[name].seed(Path(folder))
        data = Path(folder, READERS[name].file).read_bytes()
    while True:
        yield spoilt(data, rng)


def campaign(
    count: int, *, seed: int = 0, only: Iterable[str] = (), keep: Path | None = None
) -> Counter[tuple[str, Outcome]]:
    """So many spoilt files, spread over the readers; faults with their numbers.

    keep: a folder for the files that did it.
    """
    names = sorted(only) or sorted(READERS)
    faults: Counter[tuple[str, Outcome]] = Counter()
    for number, name in enumerate(names):
        each = count // len(names) + (number < count % len(names))
        files = list(islice(mutants(name, random.Random(f"{seed} {name}")), each))
        for data, found in zip(files, attack(name, files), strict=True):
            if not found.is_fault:
                continue
            faults[name, found] += 1
            if keep is not None:
                keep.mkdir(parents=True, exist_ok=True)
                kind = (
                    f"{name}_{found.kind}_{faults[name, found]}_{zlib.crc32(found.words.encode())}"
                )
                (keep / kind).write_bytes(data)
    return faults


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=())
    parser.add_argument("--keep", type=Path)
    args = parser.parse_args()
    start = time.monotonic()
    faults = campaign(args.count, seed=args.seed, only=args.only, keep=args.keep)
    for (name, found), times in sorted(faults.items()):
        print(f"{times:4}  {name}: {found.kind} {found.words}")
    kinds = Counter[str]()
    for (_, found), times in faults.items():
        kinds[found.kind] += times
    summary = ", ".join(f"{n} {kind}" for kind, n in kinds.items()) or "no fault"
    print(f"{args.count} files, {time.monotonic() - start:.0f} s: {summary}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
