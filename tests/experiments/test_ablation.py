"""Variants differ in what they claim and in nothing else; runs are done once; tables are views."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conftest import ROOT
from experiments.ablation import __main__ as command
from experiments.ablation import figure, runs, tables
from experiments.ablation import variants as ablation
from experiments.ablation.variants import folder, parent, variants
from poseact import data
from poseact.core.layouts import PA17
from poseact.core.types import Camera, Record
from poseact.data import pack
from poseact.models.weights import network
from poseact.train import loop
from poseact.train.config import Config, from_json, to_json
from poseact.train.parts import AlternatingBatches, open_parts
from poseact.train.recipes.shipped import cost

VARIANTS = variants(steps=1000)


def flat(value: Any, name: str = "") -> dict[str, Any]:
    """Every setting by its dotted name."""
    if isinstance(value, dict):
        items: Any = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    else:
        return {name: value}
    return {k: v for key, inner in items for k, v in flat(inner, f"{name}.{key}").items()}


def differing(one: str, other: str) -> set[str]:
    """Settings that two variants do not share, without name and origin."""
    a, b = (flat(json.loads(to_json(VARIANTS[name]))) for name in (one, other))
    return {key for key in a.keys() | b.keys() if a.get(key) != b.get(key)} - {".name", ".init"}


# ------------------------------------------------------------------------------- variants


@pytest.mark.parametrize(
    ("variant", "base", "settings"),
    [
        ("pose_last_block", "pose", {".stages.0.over_blocks"}),
        ("pose_deep", "pose", {".model.pyramids"}),
        ("pose_max_confidence", "pose", {".model.confidence"}),
        ("pose_to_the_border", "pose", {".model.cell_centres"}),
        ("pose_no_heatmap_loss", "pose", {".stages.0.heatmap_weight"}),
        ("pose_few", "pose", {".stages.0.mix.0.clips"}),
        ("last_block", "base", {".stages.0.over_blocks", ".stages.1.over_blocks"}),
        ("pose_only", "base", {".stages.0.ablate", ".stages.1.ablate"}),
        ("decoupled", "base", {".model.replica"}),
        ("max_confidence", "base", {".model.confidence"}),
    ],
)
def test_a_variant_changes_what_its_name_says(variant: str, base: str, settings: set[str]) -> None:
    assert differing(variant, base) == settings


def test_variants_that_change_more_than_a_setting() -> None:
    changed = differing("pose_one_block", "pose")
    assert changed == {".model.pyramids", ".model.exit.0", ".model.exit.1"}
    assert network(VARIANTS["pose_one_block"].model).exits == ((1, 1),)
    heads = {".model.action_pyramids.2", ".model.action_pyramids.3"}
    assert differing("deep", "base") == {".model.pyramids", *heads}
    for variant, base in (("pose_others", "pose"), ("pose_few_others", "pose_few")):
        assert all(key.startswith(".stages.0.mix") for key in differing(variant, base))
        counts = [[m.count for m in VARIANTS[a].stages[0].mix] for a in (variant, base)]
        assert counts == [[8, 8], [16]]
    assert {key.split(".")[1] for key in differing("pose_cvpr", "pose_wide")} == {"model"}
    assert {stage.ablate for stage in VARIANTS["pose_only"].stages} == {"appearance"}
    assert {stage.ablate for stage in VARIANTS["appearance_only"].stages} == {"pose"}


def test_actions_alone_see_as_many_frames_and_no_pose() -> None:
    config = VARIANTS["action_only"]
    assert config.init is None
    first, heads, together = config.stages
    assert (heads, together.steps, together.lr) == (
        VARIANTS["base"].stages[0],
        VARIANTS["base"].stages[1].steps,
        VARIANTS["base"].stages[1].lr,
    )
    for stage in (first, together):
        assert [mix.teaches for mix in stage.mix] == ["action"]
    (poses,) = VARIANTS["pose"].stages
    frames = [s.steps * sum(m.count * m.frames for m in s.mix) for s in (first, poses)]
    assert frames[0] == frames[1]
    assert differing("action_only_more", "action_only") == {".stages.0.mix.0.count"}
    assert VARIANTS["action_only_more"].stages[0].mix[0].count == 4 * first.mix[0].count


def test_networks_of_table_f_cost_the_same() -> None:
    cvpr, wide = (cost(VARIANTS[name]) for name in ("pose_cvpr", "pose_wide"))
    assert abs(cvpr.frame / wide.frame - 1) < 0.02 and cvpr.frames == wide.frames


def test_the_network_is_small() -> None:
    assert cost(VARIANTS["base"]).parameters < 400_000


def test_runs_start_from_poses_of_their_own_seed() -> None:
    for seed in (0, 1):
        every = variants(steps=1000, seed=seed)
        names = {folder(config): name for name, config in every.items()}
        starts = {name: names[start] for name, c in every.items() if (start := parent(c))}
        assert starts == {
            **dict.fromkeys(["base", "pose_only", "appearance_only", "decoupled"], "pose"),
            **{n: f"pose_{n}" for n in ("one_block", "last_block", "deep", "others")},
            "max_confidence": "pose_max_confidence",
        }
        assert len({folder(config) for config in every.values()}) == len(every)


def test_train_and_test_people_are_of_other_splits() -> None:
    for config in VARIANTS.values():
        for mix in (mix for stage in config.stages for mix in stage.mix):
            assert mix.split == "train"


def test_a_folder_is_named_by_what_is_computed() -> None:
    base = VARIANTS["base"]
    assert folder(from_json(to_json(base))) == folder(base)
    assert folder(replace(base, checkpoint_s=1.0, accelerator="cpu")) == folder(base)
    assert folder(replace(base, ema=0.9)) != folder(base)
    assert folder(replace(base, stages=base.stages[:1])) != folder(base)
    said = ablation._said(base.stages[0])
    assert "momentum" not in said and said["lr"] == base.stages[0].lr  # a default says nothing


def test_too_few_steps_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 10 steps, got 9"):
        variants(steps=9)


# ------------------------------------------------------------------------------- runs


def person(number: int) -> Record:
    """A bright square that moves; joints scattered about it, 4 m away."""
    rng = np.random.default_rng(number)
    xyz = rng.normal(0, 300, (8, 17, 3)) + [0, 0, 4000]
    xy = 100 * xyz[..., :2] / xyz[..., 2:] + 32
    pictures = rng.integers(0, 255, (8, 64, 64, 3), np.uint8)
    zero = np.zeros
    camera = Camera(np.eye(3), zero(3), np.full(2, 100.0), np.full(2, 32.0), zero(3), zero(2))
    box = np.concatenate([xy.min(1), xy.max(1)], -1)
    return Record(
        pictures.__getitem__, xy, PA17, xyz=xyz, box=box, camera=camera,
        action=number % 3, scale_px=np.full(8, 8.0),
    )  # fmt: skip


@pytest.fixture()
def people(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Twelve of them instead of the rendered ones; an empty folder of runs."""
    records = [person(i) for i in range(12)]
    monkeypatch.setattr(data, "load", lambda *_, **__: records)
    monkeypatch.setenv(ablation.RUNS, "nowhere")  # so that what `complete` sets is taken back
    return tmp_path


def test_a_run_from_its_parent_to_its_score(people: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    every = variants(steps=10)
    found = runs.complete(every["pose"], people)
    assert "action_top1" not in found and found["cpu_s"] > 0
    found = runs.complete(every["decoupled"], people)
    # 12 records of 8 frames, 3 of the 21 classes; the last block's numbers are on top
    assert (found["n"], found["clips"], len(found["blocks"])) == (96, 12, 4)
    for key in ("mpjpe_mm", "pckh_0.5", "action_top1", "multiply_adds"):
        assert found[key] == found["blocks"][-1][key]
    model = network(every["decoupled"].model)
    assert found["parameters"] == sum(p.numel() for p in model.parameters())

    monkeypatch.setattr(runs, "fit", lambda *_, **__: pytest.fail("trained a second time"))
    assert runs.complete(every["decoupled"], people) == found


def test_a_stopped_run_goes_on_from_its_checkpoint(
    people: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(
        VARIANTS["pose"],
        stages=(replace(VARIANTS["pose"].stages[0], steps=6),),
        checkpoint_s=0.0,
        log_every=1,
    )
    step = loop.StageRun.step
    taken: list[int] = []

    def until(self: Any, batch: Any, number: int) -> Any:
        taken.append(number)
        if taken == [0, 1, 2, 3]:
            raise KeyboardInterrupt
        return step(self, batch, number)

    monkeypatch.setattr(loop.StageRun, "step", until)
    with pytest.raises(KeyboardInterrupt):
        runs.complete(config, people)
    assert runs.result(config, people) is None
    found = runs.complete(config, people)
    assert taken == [0, 1, 2, 3, 3, 4, 5]
    assert found["cpu_s"] is None  # only a part of it was timed


class Records:
    """Stands for `complete`: plants results, notes what was already there when a run began."""

    def __init__(self, failing: str = "") -> None:
        self.began: dict[str, bool] = {}
        self.failing = failing

    def __call__(self, config: Config, out: Path) -> dict[str, Any]:
        start = parent(config)
        self.began[config.name] = start is None or (out / start / "results.json").is_file()
        if config.name == self.failing or not self.began[config.name]:
            raise RuntimeError(f"no luck with {config.name}")
        return plant(out, config, mpjpe_mm=100.0)


def plant(out: Path, config: Config, **numbers: Any) -> dict[str, Any]:
    place = out / folder(config)
    place.mkdir(parents=True, exist_ok=True)
    found = {"cpu_s": 10.0, **numbers}
    (place / "results.json").write_text(json.dumps(found))
    return found


@pytest.fixture()
def threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "ProcessPoolExecutor", lambda jobs, *_: ThreadPoolExecutor(jobs))


@pytest.mark.usefixtures("threads")
def test_runs_wait_for_their_parents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configs = [VARIANTS[name] for name in ("base", "decoupled", "deep", "pose", "pose_deep")]
    plant(tmp_path, VARIANTS["pose_deep"])
    stands = Records()
    monkeypatch.setattr(runs, "complete", stands)
    ended = list(runs.carry_out(configs, tmp_path, jobs=2))
    assert stands.began == dict.fromkeys(["deep", "pose", "base", "decoupled"], True)
    assert {c.name for c, error in ended if error is None} == set(stands.began)
    assert list(runs.carry_out(configs, tmp_path, jobs=2)) == []


@pytest.mark.usefixtures("threads")
def test_one_failure_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "complete", Records(failing="pose"))
    configs = [VARIANTS[name] for name in ("pose", "base", "pose_deep", "deep")]
    ended = {c.name: error for c, error in runs.carry_out(configs, tmp_path, jobs=1)}
    assert {name for name, error in ended.items() if error} == {"pose", "base"}


def test_only_what_the_tables_need_is_trained() -> None:
    assert [c.name for c in runs.with_parents(["decoupled", "action_only"], VARIANTS)] == [
        "pose",
        "decoupled",
        "action_only",
    ]


def test_the_time_left_goes_by_the_time_taken(tmp_path: Path) -> None:
    configs = [VARIANTS["pose"], VARIANTS["pose_deep"], VARIANTS["pose_wide"]]
    expected = [runs.expected_s(config) for config in configs]
    assert runs.left_s(configs, tmp_path) == pytest.approx(sum(expected))
    plant(tmp_path, VARIANTS["pose"], cpu_s=3 * expected[0])
    plant(tmp_path, VARIANTS["pose_deep"], cpu_s=None)
    assert runs.left_s(configs, tmp_path) == pytest.approx(3 * expected[2])


# ------------------------------------------------------------------------------- tables


def test_rows_name_variants_and_every_variant_is_shown() -> None:
    shown = {variant for table in tables.TABLES.values() for _, variant in table.rows}
    assert shown <= set(VARIANTS)
    assert set(VARIANTS) - shown == {
        *("pose_one_block", "pose_last_block", "pose_deep", "pose_others", "pose_max_confidence")
    }


def test_a_table_is_mean_and_spread_over_seeds(tmp_path: Path) -> None:
    for seed, (error, right) in enumerate([(100.0, 50.0), (104.0, 50.0), (108.0, 50.0)]):
        numbers = {"mpjpe_mm": error, "pckh_0.5": 40.0 + seed, "action_top1": right}
        plant(tmp_path, variants(steps=1000, seed=seed)["base"], **numbers)
    plant(
        tmp_path,
        VARIANTS["pose_only"],
        **{"mpjpe_mm": 120.0, "pckh_0.5": 30.0, "action_top1": 9.0},
    )
    plant(tmp_path, variants(steps=999)["decoupled"], mpjpe_mm=1.0)  # another training
    names = [variant for _, variant in tables.TABLES["b"].rows]
    found = tables.gather(names, tmp_path, seeds=3, steps=1000)
    assert tables.markdown("b", found).splitlines() == [
        "| | MPJPE, mm | PCKh@0.5, % | action, % | seeds |",
        "|---|---|---|---|---|",
        "| pose | 120.0 | 30.0 | 9.0 | 1 |",
        "| appearance | – | – | – | 0 |",
        "| both | 104.0 ± 4.0 | 41.0 ± 1.0 | 50.0 | 3 |",
        "| both, decoupled poses | – | – | – | 0 |",
    ]


def deep(error: float) -> dict[str, Any]:
    blocks = [
        {"pyramid": 1, "level": level, "multiply_adds": level * 5_000_000, "ms": 1.0}
        | {"mpjpe_mm": error - 10 * level, "pckh_0.5": 30.0, "action_top1": 20.0 + level}
        for level in (1, 2)
    ]
    return {**blocks[-1], "parameters": 1000, "blocks": blocks}


def test_the_exits_are_rows_of_their_own() -> None:
    text = tables.markdown("d", {"deep": [deep(200.0), deep(220.0)]})
    assert text.splitlines()[2:] == [
        "| pyramid 1, level 1 | 5.0 | 200.0 ± 14.1 | 30.0 | 21.0 | 2 |",
        "| pyramid 1, level 2 | 10.0 | 190.0 ± 14.1 | 30.0 | 22.0 | 2 |",
    ]
    assert tables.markdown("d", {"deep": []}).count("\n") == 1  # the head alone


def test_tables_go_to_their_places_in_a_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    text = "# A\n<!-- table a -->\nold\n<!-- end -->\nkept \\1\n<!-- table b -->\n<!-- end -->\n"
    page.write_text(text)
    tables.fill(page, {"b": "| new \\1 |", "a": "| one |\n| two |"})
    assert page.read_text() == (
        "# A\n<!-- table a -->\n| one |\n| two |\n<!-- end -->\nkept \\1\n"
        "<!-- table b -->\n| new \\1 |\n<!-- end -->\n"
    )
    with pytest.raises(ValueError, match="page.md has 0 places for table g"):
        tables.fill(page, {"a": "lost", "g": ""})
    assert "lost" not in page.read_text()


def test_the_page_of_the_project_has_a_place_for_every_table(tmp_path: Path) -> None:
    page = tmp_path / "ablation.md"
    text = (ROOT / "docs/explanation/ablation.md").read_text()
    page.write_text(text)
    tables.fill(page, dict.fromkeys(tables.TABLES, "| here |"))
    assert page.read_text().count("| here |") == len(tables.TABLES)


# ------------------------------------------------------------------------------- figure


def test_ticks_are_round_and_embrace_the_values() -> None:
    assert figure.ticks(0.0, 25.7) == (0.0, 10.0, 20.0, 30.0)
    for low, high in ((181.0, 246.0), (0.02, 0.11), (50.0, 50.0)):
        found = figure.ticks(low, high)
        assert found[0] <= low and found[-1] >= high and 2 <= len(found) <= 8
        assert np.ptp(np.diff(found)) == pytest.approx(0, abs=1e-9)


def test_better_and_dearer_exits_are_drawn_where_they_belong() -> None:
    """The curve's pixels: falling to the right for the error, rising for the accuracy."""
    found = {"deep": [deep(200.0), deep(220.0)], "one_block": [], "base": [deep(180.0)]}
    picture = figure.draw_cost(found)
    assert picture.shape == (480, 1280, 3) and picture.dtype == np.uint8
    for panel, sign in ((picture[60:, :640], 1), (picture[60:, 640:], -1)):
        y, x = np.nonzero((panel == figure._CUT).all(-1))
        left, right = y[x <= np.quantile(x, 0.2)], y[x >= np.quantile(x, 0.8)]
        assert sign * (np.median(right) - np.median(left)) > 50
    blue = (picture == figure._WHOLE).all(-1)
    assert blue[60:].any()
    with pytest.raises(ValueError, match="run table d"):
        figure.draw_cost({**found, "deep": []})


# ------------------------------------------------------------------------------- command


def test_the_list_counts_what_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["e", "-o", str(tmp_path), "--seeds", "2", "--steps", "1000", "--list"]
    plant(tmp_path, VARIANTS["pose_few"], cpu_s=100.0)
    assert command.main(args) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["done", "todo", "todo", "todo"]
    assert "core-hours" in last


@pytest.mark.usefixtures("threads")
def test_the_command_trains_shows_and_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prepared: list[Path] = []
    monkeypatch.setattr(command, "prepare", lambda out, *, workers: prepared.append(out))
    monkeypatch.setattr(runs, "complete", lambda config, out: plant(out, config, **deep(200.0)))
    page = tmp_path / "page.md"
    page.write_text("<!-- table d -->\n<!-- end -->\n")
    out = tmp_path / "runs"
    args = ["d", "-o", str(out), "--seeds", "2", "--write", str(page)]
    assert command.main(args) == 0
    assert prepared == [out]
    assert "| pyramid 1, level 2 | 10.0 | 180.0 | 30.0 | 22.0 | 2 |" in page.read_text()
    assert (tmp_path / "ablation_cost.png").is_file()
    assert "4 of 4" in capsys.readouterr().out

    monkeypatch.setattr(runs, "complete", Records(failing="pose_few"))
    assert command.main(["e", "-o", str(out), "--seeds", "1"]) == 1
    assert "no luck with pose_few" in capsys.readouterr().out
    assert command.main(["h", "-o", str(out)]) == 2
    assert "tables are a, b, c, d, e, f, g" in capsys.readouterr().err


def test_2d_only_people_have_no_depth(people: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`prepare` hides the 3D labels; the mixed variant knows depth for its own half only."""
    runs.prepare(people)
    monkeypatch.setenv(ablation.RUNS, str(people))
    config = VARIANTS["pose_few_others"]
    mixes = config.stages[0].mix
    real = pack.load(people / "others_2d")
    assert all(record.xyz is None and record.camera is None for record in real)
    known = data.load
    monkeypatch.setattr(
        data, "load", lambda kind, *a, **k: real if kind == "packed" else known(kind, *a, **k)
    )
    batch = AlternatingBatches(mixes, open_parts(mixes, 1.25, 1), PA17, size=config.size)[0]
    assert bool(batch["stills"]["valid"][..., 2].any())
    assert not bool(batch["others"]["valid"][..., 2].any())
    assert bool(batch["others"]["valid"][..., :2].any())
    assert torch.isnan(batch["others"]["pose"][..., 2]).all()


def test_configs_are_kept_whole() -> None:
    for config in VARIANTS.values():
        assert asdict(from_json(to_json(config))) == asdict(config)
