"""A searched architecture and honest controls, trained the same way, each tested once a seed.

The controls: random architectures of the same space (the baseline that a search has to beat), the
cells published by the authors of ENAS, DenseNet-40, and a temporal CNN on the joints. Every network
of cells gets as many channels as bring it near the same number of parameters.
"""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from scipy.stats import rankdata
from torch import nn

from poseact.core.console import SILENT, Console
from poseact.core.files import whole_file, write_text
from poseact.core.reading import read_json, understood
from poseact.data.sets import sbu
from poseact.evaluate.metrics import top1
from poseact.models.densenet import DenseNet
from poseact.models.enas import (
    PUBLISHED,
    ENASNet,
    Genotype,
    parameters,
    random_genotype,
    read_genotype,
)
from poseact.models.temporal import TemporalCNN
from poseact.skeletons import classifier_file
from poseact.skeletons.classifier import (
    Bank,
    Encoding,
    Joints,
    Take,
    accuracy,
    class_count,
    copy_accuracy,
    flat,
    hold_out,
    label_names,
    probabilities,
    train,
    view_accuracy,
)
from poseact.skeletons.learn.search import Search, SearchConfig, builder
from poseact.train.run_folder import RunFolder

PAPER_COPIES = 21
"""Augmented versions of a test sequence that the paper's accuracies seem to count one by one."""

Control = Literal["published", "densenet", "temporal"]
CONTROLS: tuple[Control, ...] = ("published", "densenet", "temporal")
SEARCHED, DENSENET = "searched", "DenseNet-40"
DENSENET_PX = 32
"""Side of the pictures that DenseNet-40 reads: those of the paper."""

_RANDOM = 77  # seed of the random architectures: the same for all searches


@dataclass(frozen=True)
class Row:
    """A classifier on the test subjects. accuracy: share 0..1 of sequences, one number a seed.
    together: the same by the mean of the probabilities that the networks of all seeds give. views,
    copies: the same by the mean over augmented views of a sequence, and over augmented copies one
    by one; empty if not asked for. shared: accuracy on the validation part with shared weights,
    None outside the search space."""

    name: str
    parameters: int
    accuracy: tuple[float, ...]
    together: float
    views: tuple[float, ...]
    copies: tuple[float, ...]
    shared: float | None

    @property
    def mean(self) -> float:
        return float(np.mean(self.accuracy))

    @property
    def spread(self) -> float:
        """Standard deviation over the seeds (n - 1); NaN for one seed."""
        return float(np.std(self.accuracy, ddof=1)) if len(self.accuracy) > 1 else float("nan")


@dataclass(frozen=True)
class Table:
    """rank_correlation: Spearman's, between `shared` and the mean accuracy of the rows that have
    both; None for fewer than three of them or if one side is constant."""

    rows: tuple[Row, ...]
    rank_correlation: float | None

    def text(self) -> str:
        """As Markdown."""
        lines = [
            "| classifier | parameters | seeds | test accuracy % | seeds together % | by views % "
            "| over copies % | shared weights % |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for row in self.rows:
            several = len(row.accuracy) > 1
            spread = f" +- {row.spread * 100:.1f}" if several else ""
            together = (row.together,) if several else ()
            shared = () if row.shared is None else (row.shared,)
            lines.append(
                f"| {row.name} | {row.parameters / 1e6:.2f} M | {len(row.accuracy)} "
                f"| {row.mean * 100:.1f}{spread} | {_percent(together)} | {_percent(row.views)} "
                f"| {_percent(row.copies)} | {_percent(shared)} |"
            )
        random = [row.mean for row in self.rows if row.name.startswith("random")]
        if len(random) > 1:
            spread = float(np.std(random, ddof=1))
            lines.append(
                f"\n{len(random)} random architectures: {np.mean(random) * 100:.1f} "
                f"+- {spread * 100:.1f} % over architectures"
            )
        if self.rank_correlation is not None:
            lines.append(
                f"rank correlation of shared weights and test accuracy: {self.rank_correlation:.2f}"
            )
        return "\n".join(lines)


@dataclass(frozen=True)
class _Entry:
    name: str
    build: Callable[[], nn.Module]
    banks: tuple[Bank, Bank]
    genotype: Genotype | None = None


class _Score(NamedTuple):
    """Of one trained network; `probabilities` of the test sequences, views and copies as asked."""

    accuracy: float
    probabilities: list[list[float]]
    views: float | None = None
    copies: float | None = None


def compare(
    config: SearchConfig,
    out: str | Path,
    *,
    seeds: int = 3,
    random: int = 5,
    controls: Sequence[Control] = CONTROLS,
    control_seeds: int | None = None,
    copies: int = 0,
    console: Console = SILENT,
) -> Table:
    """Train on all training subjects and test on the others; table.json and table.csv in `out`.

    out: the folder of a finished `search`. random: architectures; controls: the others. They are
    trained with `control_seeds` seeds (None: with as many as the searched one), DenseNet-40 with
    one. copies: also score so many augmented versions of each test sequence, together ("views") and
    one by one, as the paper seems to. Trainings that are done are kept in tested.json: the same
    command goes on after a stop. The searched network of the first seed is classifier.safetensors.
    FileNotFoundError before the search is done: nothing is tested before the choice is on disk.
    """
    folder = Path(out)
    if not (folder / "genotype.json").is_file():
        raise FileNotFoundError(f"{folder} has no genotype.json; finish the search first")
    chosen = read_genotype(folder / "genotype.json")
    training = config.open("train")
    test = open_test(config, training)
    classes = class_count(training)
    fitted = config.fitted(training)
    entries = _entries(fitted, chosen, training, test, classes, random, controls, copies)
    shared = shared_ratings(
        config, folder, training, classes, [e.genotype for e in entries if e.genotype]
    )
    tested = _Tested(folder / "tested.json", {"config": config.note()}, training)
    rows = []
    for entry in entries:
        count = seeds if entry.name == SEARCHED else control_seeds or seeds
        if entry.name == DENSENET:
            count = 1  # thirty times the work of a searched network
        scores = []
        for seed in range(count):
            known = len(tested.table["scores"])
            scores.append(tested.score(entry, fitted, seed, copies))
            if len(tested.table["scores"]) > known:
                console.say(f"{entry.name}, seed {seed}: {scores[-1].accuracy:.1%}")
        rows.append(
            Row(
                entry.name,
                parameters(entry.build()),
                tuple(score.accuracy for score in scores),
                _together(scores, entry.banks[1]),
                tuple(score.views for score in scores if score.views is not None),
                tuple(score.copies for score in scores if score.copies is not None),
                shared.get(entry.genotype) if entry.genotype else None,
            )
        )
    table = Table(tuple(rows), _rank_correlation(rows))
    save(table, folder)
    return table


def open_test(config: SearchConfig, training: Sequence[Take]) -> list[Take]:
    """The test takes. ValueError if one of their subjects was trained on."""
    test = config.open("test")
    common = {take.subject for take in training} & {take.subject for take in test}
    if common:
        raise ValueError(f"subjects {', '.join(sorted(common))} are in training and in test")
    return test


def _entries(
    config: SearchConfig,
    chosen: Genotype,
    training: Sequence[Take],
    test: Sequence[Take],
    classes: int,
    random: int,
    controls: Sequence[Control],
    copies: int,
) -> list[_Entry]:
    encoding = config.pictures

    def banks(encoding: Encoding) -> tuple[Bank, Bank]:
        return (
            Bank(training, encoding, copies=config.copies, seed=config.seed),
            Bank(test, encoding, copies=copies, seed=config.seed + 1),
        )

    generator = torch.Generator().manual_seed(_RANDOM)
    nodes = config.controller.nodes
    named = [(SEARCHED, chosen)]
    named += [(f"random {n + 1}", random_genotype(nodes, generator)) for n in range(random)]
    named += [("published cells", PUBLISHED)] * ("published" in controls)
    pictures = banks(encoding)
    entries = [
        _Entry(name, builder(config, genotype, classes), pictures, genotype)
        for name, genotype in named
    ]
    if "densenet" in controls:
        square = replace(encoding, spmf=replace(encoding.spmf, size=DENSENET_PX, keep_rows=False))
        entries.append(_Entry(DENSENET, lambda: DenseNet(classes), banks(square)))
    if "temporal" in controls:
        joints = Joints(augment=encoding.augment, bones=encoding.spmf.bones)
        paths = banks(joints)
        channels = paths[0].plain.shape[1]
        entries.append(_Entry("temporal CNN", lambda: TemporalCNN(channels, classes), paths))
    return entries


def shared_ratings(
    config: SearchConfig,
    folder: Path,
    training: Sequence[Take],
    classes: int,
    genotypes: Sequence[Genotype],
) -> dict[Genotype, float]:
    """Accuracies on the validation part with the shared weights of a finished search, of the
    architectures that have its number of nodes."""
    learned, takes = hold_out(training, config.validation)
    config = config.fitted(learned)
    held = Bank(takes, config.pictures)
    run = Search(config, classes, held, held)
    state = RunFolder(folder).read_checkpoint()
    if state is None:
        raise FileNotFoundError(f"{folder} has no checkpoint.pt with the shared weights")
    run.load(state)
    return {g: run.rating_of_all(g) for g in genotypes if g.nodes == config.controller.nodes}


class _Tested:
    """Accuracies that are known, on disk after every training. takes: those of training. ValueError
    if the file belongs to another search."""

    def __init__(self, path: Path, note: dict[str, Any], takes: Sequence[Take]) -> None:
        self.path, self.takes = path, takes
        self.table: dict[str, Any] = json.loads(json.dumps(note | {"scores": {}}))
        if path.is_file():
            with understood(path):
                known = read_json(path)
                same = known.get("config") == self.table["config"] and "scores" in known
            if not same:
                raise ValueError(f"{path} belongs to a search with other settings; remove it")
            self.table = known

    def score(self, entry: _Entry, config: SearchConfig, seed: int, copies: int) -> _Score:
        """Of one training, or what is known of it."""
        arc = "" if entry.genotype is None else " ".join(map(str, entry.genotype.arc()))
        key = f"{entry.name} [{arc}] seed {seed} copies {copies}"
        if key not in self.table["scores"]:
            learned, test = entry.banks
            model = train(entry.build, learned, config.final, seed=seed)
            if entry.name == SEARCHED and seed == 0 and isinstance(model, ENASNet):
                save_classifier(config, model, self.takes, self.path.parent)
            answers = probabilities(model, test.plain).round(4).tolist()
            found = _Score(accuracy(model, test), answers)
            if copies:
                found = found._replace(
                    views=view_accuracy(model, test), copies=copy_accuracy(model, test)
                )
            self.table["scores"][key] = found._asdict()
            write_text(self.path, json.dumps(self.table))
        return _Score(**self.table["scores"][key])


def _together(scores: Sequence[_Score], test: Bank) -> float:
    mean = np.mean([score.probabilities for score in scores], axis=0)
    return top1(mean, test.action.numpy()).mean


def save_classifier(
    config: SearchConfig,
    model: ENASNet,
    training: Sequence[Take],
    folder: Path,
    *,
    also: Mapping[str, str] = MappingProxyType({}),
) -> Path:
    """classifier.safetensors, half precision: for `load_classifier`. config: fitted to the
    training. also: more of what it learned from, for the card."""
    first = training[0]
    persons = first.poses.shape[1]
    names = sbu.ACTIONS if persons > 1 else label_names(config.data, config.root, config.subset)
    return classifier_file.save_classifier(
        folder / "classifier.safetensors",
        model,
        config.pictures.spmf,
        layout=first.layout,
        labels=names,
        frames=int(np.median([len(take.poses) for take in training])),
        fps=config.fps,
        persons=persons,
        flat=flat(training),
        provenance={
            "data": f"{Path(config.root).name}, subset {config.subset}, training subjects",
            "subjects": ", ".join(sorted({take.subject for take in training})),
            **also,
        },
        half=True,
    )


def _rank_correlation(rows: Sequence[Row]) -> float | None:
    pairs = [(row.shared, row.mean) for row in rows if row.shared is not None]
    if len(pairs) < 3 or any(len(set(side)) < 2 for side in zip(*pairs)):
        return None
    shared, alone = (rankdata(side) for side in zip(*pairs))
    return float(np.corrcoef(shared, alone)[0, 1])


def save(table: Table, folder: Path) -> None:
    """table.json and table.csv."""
    note = {
        "rows": [
            dataclasses.asdict(row) | {"mean": row.mean, "spread": _or_none(row.spread)}
            for row in table.rows
        ],
        "rank_correlation": table.rank_correlation,
    }
    write_text(folder / "table.json", json.dumps(note, indent=1))
    with whole_file(folder / "table.csv") as part, part.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ("classifier", "parameters", "mean", "spread", "seeds", "together", "shared")
        )
        for row in table.rows:
            numbers = (
                row.parameters,
                row.mean,
                _or_none(row.spread),
                len(row.accuracy),
                row.together,
                row.shared,
            )
            writer.writerow((row.name, *numbers))


def _percent(shares: Sequence[float]) -> str:
    return f"{np.mean(shares) * 100:.1f}" if shares else ""


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else value
