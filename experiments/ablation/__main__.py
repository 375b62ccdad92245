"""python -m experiments.ablation [TABLE ...] -o OUT"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2

from experiments.ablation.figure import draw_cost
from experiments.ablation.runs import carry_out, expected_s, left_s, prepare, result, with_parents
from experiments.ablation.tables import FIGURE_VARIANTS, TABLES, fill, gather, markdown
from experiments.ablation.variants import STEPS, folder, variants
from poseact.core.files import write_bytes
from poseact.train.config import Config


def main(args: Sequence[str] | None = None) -> int:
    """Train what the tables need and is not there, show them; the exit status."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    parser = argparse.ArgumentParser(
        prog="python -m experiments.ablation",
        description="The papers' ablations on rendered people. Stop it whenever you like: the same "
        "command goes on.",
        epilog="; ".join(f"{name}: {table.title}" for name, table in TABLES.items()),
    )
    parser.add_argument("tables", nargs="*", metavar="TABLE", help="a to g; all if none is given")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder of all runs")
    parser.add_argument("--seeds", type=int, default=3, help="of every training (default 3)")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"of a pose stage ({STEPS})")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time, a core each")
    parser.add_argument("--list", action="store_true", help="only say what is done and to do")
    parser.add_argument("--show", action="store_true", help="only show the tables as they are")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the tables into this page")
    known = parser.parse_args(args)
    try:
        return _run(known)
    except (ValueError, OSError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2


def _run(known: argparse.Namespace) -> int:
    names = known.tables or list(TABLES)
    strange = [name for name in names if name not in TABLES]
    if strange or known.seeds < 1 or known.jobs < 1:
        raise ValueError(
            f"tables are {', '.join(TABLES)}, seeds and jobs at least 1; "
            f"got {' '.join(names)}, {known.seeds} and {known.jobs}"
        )
    out = known.out.absolute()
    wanted = list(dict.fromkeys(variant for name in names for _, variant in TABLES[name].rows))
    configs = [
        config
        for seed in range(known.seeds)
        for config in with_parents(wanted, variants(steps=known.steps, seed=seed))
    ]
    if known.list:
        _list(configs, out, known.jobs)
        return 0
    failed = 0 if known.show else _train(configs, out, known.jobs)
    found = gather([*wanted, *FIGURE_VARIANTS], out, seeds=known.seeds, steps=known.steps)
    bodies = {name: markdown(name, found) for name in names}
    for name, body in bodies.items():
        print(f"\n{name}. {TABLES[name].title}\n\n{body}")
    if known.write:
        fill(known.write, bodies)
    if "d" in names and found["deep"]:
        picture = (known.write.parent if known.write else out) / "ablation_cost.png"
        done, data = cv2.imencode(".png", draw_cost(found)[..., ::-1])
        assert done
        write_bytes(picture, data.tobytes())
        print(f"\n{picture}")
    return 1 if failed else 0


def _train(configs: Sequence[Config], out: Path, jobs: int) -> int:
    """Complete the runs with a line for each; how many failed."""
    if all(result(config, out) for config in configs):
        return 0
    out.mkdir(parents=True, exist_ok=True)
    prepare(out, workers=jobs)
    failed = 0
    for config, error in carry_out(configs, out, jobs=jobs):
        minutes = left_s(configs, out) / jobs / 60
        done = sum(result(c, out) is not None for c in configs)
        failed += error is not None
        said = f"failed: {error}" if error else "done"
        print(
            f"{folder(config)} {said}; {done} of {len(configs)}, {minutes:.0f} min left", flush=True
        )
    return failed


def _list(configs: Sequence[Config], out: Path, jobs: int) -> None:
    for config in configs:
        found = result(config, out)
        took = (
            f"done {found['cpu_s'] or 0:6.0f} s" if found else f"todo {expected_s(config):6.0f} s"
        )
        print(f"{took}  {folder(config)}")
    hours = left_s(configs, out) / 3600
    print(f"to do: {hours:.1f} core-hours, {hours / jobs:.1f} h with --jobs {jobs}")


if __name__ == "__main__":
    sys.exit(main())
