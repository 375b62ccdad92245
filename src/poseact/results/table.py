"""Results as a table: CSV and Parquet, with units in the names of the columns; pandas."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from poseact.core.files import whole_file
from poseact.core.types import COLUMNS, Result
from poseact.results.jsonl import Header, open_jsonl, result_json

if TYPE_CHECKING:
    from pandas import DataFrame

_ROW_GROUP = 100_000


@dataclass(frozen=True)
class Recording:
    """A result file: iterate over its frames, as often as you like, one in memory at a time."""

    path: Path
    header: Header

    def __iter__(self) -> Iterator[Result]:
        return open_jsonl(self.path)[1]

    def to_pandas(self) -> DataFrame:
        """A row for each joint of each person of each frame, with the columns `COLUMNS`."""
        import pandas

        rows = chain.from_iterable(result.rows() for result in self)
        return pandas.DataFrame.from_records(list(rows), columns=list(COLUMNS))


def read(path: str | Path) -> Recording:
    """A result file of `poseact predict`, `lift` or `live`. Errors as `read_jsonl`.

    >>> table = read("out/walk.jsonl").to_pandas()                  # doctest: +SKIP
    """
    return Recording(Path(path), open_jsonl(path)[0])


def write_csv(path: str | Path, header: Header, results: Iterable[Result]) -> None:
    """Long form: a row for each joint of each person of each frame, columns as `COLUMNS`.

    Unknown cells are empty.
    """
    path = Path(path)
    with whole_file(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for result in results:
            line = result_json(result, header)
            for person in line["people"]:
                table.writerows(_csv_rows(line, person, header))


def write_parquet(path: str | Path, header: Header, results: Iterable[Result]) -> None:
    """The same table as Parquet, written piece by piece. Its metadata have `source` and `model`.

    ImportError without pyarrow (`poseact[table]`).
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise ImportError(
            "Parquet is written with pyarrow: pip install 'poseact[table]'"
        ) from error
    kinds = {"frame": pa.int64(), "track": pa.int64(), "joint": pa.string(), "action": pa.string()}
    fields = [(name, kinds.get(name, pa.float64())) for name in COLUMNS]
    schema = pa.schema(fields, {"source": header.source, "model": header.model})
    rows = chain.from_iterable(result.rows() for result in results)
    with whole_file(Path(path)) as part, parquet.ParquetWriter(part, schema) as file:
        while group := list(islice(rows, _ROW_GROUP)):
            arrays = [pa.array(c, f.type) for c, f in zip(zip(*group), schema)]
            file.write_table(pa.Table.from_arrays(arrays, schema=schema))


def _csv_rows(line: dict[str, Any], person: dict[str, Any], header: Header) -> list[list[Any]]:
    action = person["action"] or []
    known = [k for k, p in enumerate(action) if p is not None]
    best = max(known, key=lambda k: action[k], default=None)
    named = [None, None] if best is None else [plain_text(header.labels[best]), action[best]]
    unknown = [[None] * 3] * len(header.layout)
    where = [line["frame"], line["time_s"], person["track"]]
    columns = zip(header.layout.joints, person["xy"], person["score"], person["xyz"] or unknown)
    return [
        [*where, plain_text(joint), *xy, score, *xyz, *named] for joint, xy, score, xyz in columns
    ]


def plain_text(text: str) -> str:
    """A name that a spreadsheet would take for a formula gets an apostrophe in front."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
