"""Recipes: whole, of the published sizes, shares and rates; listed; rehearsed without training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import ROOT
from poseact import data
from poseact.cli.app import main
from poseact.core.layouts import MPII16, layout_named
from poseact.core.types import Record
from poseact.data.sets.clips import LABELS
from poseact.data.write import write_mpii, write_penn
from poseact.evaluate import benchmarks
from poseact.evaluate.cost import multiply_adds
from poseact.models.spnet import SPNet, SPNetConfig
from poseact.models.stems import VGG16Stem
from poseact.models.weights import network
from poseact.people.motions import ACTIONS
from poseact.train import loop
from poseact.train.config import AUGMENTS, Config, Mix, Stage
from poseact.train.network import initial_network
from poseact.train.optim import learning_rate
from poseact.train.recipes.shipped import RECIPES, cost, recipe
from poseact.train.recipes.tables import EXPERIMENTS

# Trainable parameters of the original's networks, counted in the original.
PARAMETERS = {
    "tpami_penn": 29_240_608,
    "tpami_penn_26m": 25_201_984,
    "tpami_penn_released": 20_236_000,
    "tpami_penn_p2": 10_179_616,
    "tpami_pose3d": 21_715_808,
    "tpami_ntu": 34_458_032,
    "tpami_ntu_released": 12_674_504,
    "cvpr_mpii": 14_669_952,
    "cvpr_h36m": 16_605_312,
    "cvpr_penn": 12_754_912,
    "cvpr_ntu": 16_890_152,
}


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_are_whole(name: str) -> None:
    """Every recipe builds its network, fits its labels and data, and survives its own file."""
    config = recipe(name)
    assert config.name == name
    assert loop.from_json(loop.to_json(config)) == config
    with torch.device("meta"):
        model = network(config.model)
    assert config.size[0] % model.stride == config.size[1] % model.stride == 0
    assert tuple(map(len, config.labels)) == config.model.actions
    assert len(layout_named(config.layout)) == config.model.joints
    for stage in config.stages:
        for mix in (*stage.mix, *stage.validation):
            assert mix.frames in (1, config.frames)
            assert mix.kind == "people" or mix.root
            if mix.people is not None:
                assert mix.people.split == "train"
                assert mix.frames == 1 or mix.people.fps == config.fps  # stills have no rate


@pytest.mark.parametrize("name", PARAMETERS)
def test_networks_have_the_published_size(name: str) -> None:
    with torch.device("meta"):
        model = network(recipe(name).model)
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[name]


def test_the_shipped_recipe_is_refined_movenet_and_its_heads() -> None:
    pose, actions = recipe("spnet_s"), recipe("spnet_s_actions")
    assert cost(pose).parameters < 4e6 and cost(pose).frame < 0.35e9
    assert pose.labels == () and actions.labels == (LABELS,)
    assert pose.stem is not None and actions.stem is None and actions.init is not None
    (stage,) = pose.stages
    assert (stage.steps, stage.lr, stage.entry_lr, stage.entry_frozen) == (2200, 1.5e-3, 0.1, 5)
    assert stage.confidence_target == "right" and sum(m.count for m in stage.mix) == 32
    longer = recipe("spnet_s_longer")
    assert cost(longer).frame < 0.35e9 and longer.stem is None and longer.init is not None
    assert longer.size == actions.size == (192, 192) and longer.stages[0].entry_lr == 0
    (heads,) = actions.stages
    assert (heads.trains, heads.cached, heads.steps) == ("actions", 64, 2500)
    assert [m.name for m in heads.mix] == ["acting", "other", "real0", "real1", "real2", "real3"]
    assert heads.mix[1].action == LABELS.index("none")
    same = {k: v for k, v in vars(pose.model).items() if k in ("growth", "entry", "joints")}
    assert same.items() <= vars(actions.model).items()


def test_the_recipe_without_pretrained_features_stays_as_it_is() -> None:
    config = recipe("spnet_light")
    assert cost(config).parameters < 2e6 and config.labels == (ACTIONS,)
    stages = [(s.name, s.steps, s.lr, s.trains, s.optimizer, s.schedule) for s in config.stages]
    assert stages == [
        ("pose", 7500, 3e-3, "all", "adamw", "cosine"),
        ("longer", 11500, 3e-3, "all", "adamw", "cosine"),
        ("tracked", 3500, 1e-3, "all", "adamw", "cosine"),
        ("windows", 4000, 1e-3, "all", "adamw", "cosine"),
        ("actions", 2000, 3e-3, "actions", "adamw", "cosine"),
    ]
    counts = [[(m.name, m.count, m.augment) for m in s.mix] for s in config.stages]
    paper = [("photos", 20, "paper"), ("people", 16, "paper"), ("others", 4, "paper")]
    mild = [(name, count, "mild") for name, count, _ in paper]
    windows = [("photos", 14, "mild"), ("people", 9, "mild"), ("others", 3, "mild")]
    windows += [("windows", 7, "windows"), ("photo_windows", 3, "windows"), ("nobody", 4, "parts")]
    assert counts == [paper, paper, mild, windows, [("clips", 8, "paper")]]
    assert (config.ema, config.clip_gradient, config.seed) == (0.999, 1.0, 0)
    newer = Stage("s", 1, ())
    for stage in config.stages:
        for name in ("over_blocks", "pose_loss", "ablate", "copy_replica", "validation"):
            assert getattr(stage, name) == getattr(newer, name)


# ------------------------------------------------------------------------------- as published


def shares(stage: Stage, kind: int = 0) -> dict[str, float]:
    own = [mix for mix in stage.mix if mix.batch == kind]
    return {mix.kind: mix.count * mix.frames / sum(m.count * m.frames for m in own) for mix in own}


def test_data_is_mixed_as_the_papers_say() -> None:
    for stage in (recipe("tpami_ntu").stages[0], recipe("tpami_ntu").stages[2]):
        assert shares(stage) == {"h36m": 0.5, "mpii": 0.375, "ntu": 0.125}
    assert shares(recipe("tpami_penn").stages[0]) == pytest.approx(
        {"mpii": 0.8, "penn": 0.2}, abs=0.02
    )
    released = {"mpii": 14 / 32, "h36m": 14 / 32, "penn": 2 / 32, "ntu": 2 / 32}
    assert shares(recipe("tpami_pose3d_released").stages[0]) == released
    assert shares(recipe("cvpr_h36m").stages[0]) == {"mpii": 0.5, "h36m": 0.5}
    assert shares(recipe("cvpr_penn").stages[0]) == {"mpii": 0.75, "penn": 0.25}
    assert shares(recipe("cvpr_ntu").stages[0]) == pytest.approx(
        {"ntu": 0.1, "mpii": 0.45, "h36m": 0.45}, abs=0.02
    )
    for name in ("tpami_penn", "tpami_ntu"):  # "4 batches of 8 frames" for each task
        for kind in (0, 1):
            own = [m for m in recipe(name).stages[-1].mix if m.batch == kind]
            assert sum(m.count * m.frames for m in own) == 32
    assert [len(recipe(name).stages[0].mix) for name in ("cvpr_mpii", "cvpr_h36m_only")] == [1, 1]


def test_clips_and_pictures_are_changed_as_the_papers_say() -> None:
    """CVPR 2018, appendix B; TPAMI 2020, 4.2.3, whose text has no translations."""
    cvpr, tpami = AUGMENTS["cvpr"], AUGMENTS["tpami"]
    assert (cvpr.angle_deg, cvpr.scale, 256 * cvpr.shift) == (45, (0.7, 1.3), 40)
    assert (tpami.angle_deg, tpami.scale, tpami.shift) == (40, (0.7, 1.3), 0)
    assert cvpr.flip == tpami.flip == 0.5
    for name in EXPERIMENTS:
        paper = name.partition("_")[0]
        for stage in recipe(name).stages if not name.endswith("_released") else ():
            for mix in stage.mix:
                assert mix.augment == ("cvpr" if paper == "report" else paper)
                distances = tuple(range(3, 11)) if paper == "tpami" else (1, 2, 3)
                assert mix.steps == (distances if mix.frames > 1 else ())
            if paper == "tpami":
                assert (stage.action_weight, stage.confidence_weight) == (0.01, 0.01)


def rate(stage: Stage, share: float) -> float:
    return learning_rate(stage, round(share * stage.steps))


def test_learning_rates_fall_where_the_papers_say() -> None:
    penn = recipe("tpami_penn").stages[-1]  # epochs 2 to 30, falls after 15 and 25
    assert penn.optimizer == "rmsprop"
    found = [rate(penn, (epoch - 2) / 28) for epoch in (2, 14.9, 15.1, 24.9, 25.1, 29.9)]
    assert found == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5])
    _, heads, both = recipe("tpami_ntu").stages  # falls after 50 and 55
    assert heads.optimizer == both.optimizer == "sgd" and heads.momentum == both.momentum == 0.9
    assert heads.steps == 50 * 10_080 and heads.trains == "actions"
    found = [rate(heads, 0), rate(heads, 0.99), rate(both, 0), rate(both, 0.49), rate(both, 0.51)]
    assert found == pytest.approx([0.01, 0.01, 0.001, 0.001, 0.0001])
    script = recipe("tpami_ntu_released").stages[-1]  # epochs 20 to 90, falls after 58 and 70
    found = [rate(script, (epoch - 20) / 70) for epoch in (57.9, 58.1, 69.9, 70.1)]
    assert found == pytest.approx([1e-3, 1e-4, 1e-4, 1e-5])
    mpii = recipe("cvpr_mpii_released").stages[0]  # 120 epochs, times 0.2 after 80 and 100
    found = [rate(mpii, epoch / 120) for epoch in (79.9, 80.1, 99.9, 100.1)]
    assert found == pytest.approx([1e-3, 2e-4, 2e-4, 4e-5])
    _, heads, tuned = recipe("cvpr_penn").stages
    assert (heads.optimizer, heads.momentum, heads.lr, heads.factor) == ("sgd", 0.98, 2e-4, 0.2)
    assert heads.drops is None and tuned.follow == 0.1


def test_variants_differ_in_what_they_are_named_for() -> None:
    assert recipe("tpami_penn_p2_last").stages[-1].over_blocks == "last"
    assert recipe("tpami_penn_p2").stages[-1].over_blocks == "sum"
    assert recipe("tpami_penn_p1").model.blocks == ((1, 1),)  # type: ignore[union-attr]
    assert {m.kind for s in recipe("tpami_penn_same_data").stages for m in s.mix} == {"penn"}
    for name in ("tpami_penn_action_only", "tpami_ntu_action_only"):
        assert {m.teaches for s in recipe(name).stages for m in s.mix} == {"action"}
        assert all(s.trains == "all" for s in recipe(name).stages)
    for name, blind in (("pose", "appearance"), ("appearance", "pose")):
        stages = recipe(f"tpami_penn_p2_{name}").stages
        assert [s.ablate for s in stages] == ["nothing", blind, blind]
    for name in ("tpami_penn", "tpami_penn_p2_decoupled", "tpami_ntu_decoupled"):
        stages = recipe(name).stages  # coupled for half of all iterations
        assert sum(s.coupled * s.steps for s in stages) == sum(s.steps for s in stages) / 2
        assert not any(s.copy_replica for s in stages)
    assert [s.coupled for s in recipe("tpami_ntu").stages] == [0, 0, 0]
    script = recipe("tpami_penn_released")
    assert [(s.copy_replica, s.coupled) for s in script.stages] == [(0, 0), (1, 0), (1, 0)]
    assert [s.trains for s in script.stages] == ["all", "actions_keras", "all"]
    assert {m.steps for s in script.stages for m in s.mix} == {(), (4, 6, 8)}
    for name in EXPERIMENTS:
        losses = {s.pose_loss for s in recipe(name).stages}
        assert losses == {"released" if name.endswith("_released") else "text"}
    assert recipe("tpami_ntu_released").stages[-1].action_weight == 0.1
    for name, twin in (
        ("cvpr_penn_annotated", "cvpr_penn"),
        ("cvpr_ntu_kinect", "cvpr_ntu_frozen"),
    ):
        pose, *heads = recipe(name).stages
        assert (pose, *(replace(s, poses="estimated") for s in heads)) == recipe(twin).stages
        assert {s.poses for s in heads} == {"annotated"}
    frozen, tuned = recipe("cvpr_ntu_frozen"), recipe("cvpr_ntu")
    assert frozen.stages == tuned.stages[:-1]


def test_every_cell_can_be_measured() -> None:
    """Each cell names a protocol that `poseact eval` has, with options that it takes."""
    tables = {cell.table.split(",")[0] for e in EXPERIMENTS.values() for cell in e.cells}
    for paper, last in (("TPAMI", 7), ("CVPR", 5)):
        assert {f"{paper} Table {n}" for n in range(1, last + 1)} <= {
            " ".join(t.split()[:3]) for t in tables
        }
    for experiment in EXPERIMENTS.values():
        assert experiment.cells
        for cell in experiment.cells:
            words = cell.evaluate.split()
            given = dict(zip(words[::2], words[1::2], strict=True))
            _, protocol = benchmarks.find(given.pop("--data"), given.pop("--protocol"))
            protocol.arguments({name.strip("-"): value for name, value in given.items()})
            assert cell.unit in ("%", "mm") and 0 < cell.expected < 100
            assert cell.number.split("/")[-1].split("_")[0] in ("top1", "pckh", "auc", "mpjpe")


def test_the_card_has_the_margin_and_the_step_of_what_was_trained() -> None:
    found = {name: recipe(name).card() for name in EXPERIMENTS}
    penn, ntu = found["tpami_penn"], found["cvpr_ntu"]
    assert (penn.margin, penn.margins, penn.step) == (1.5, {"mpii": 1.25}, 6)
    assert (ntu.margin, ntu.margins, ntu.step) == (1.5, {"mpii": 1.25, "h36m": 1.25}, 2)
    pose = found["tpami_pose3d"]
    assert (pose.margin, pose.margins, pose.step) == (1.25, {"ntu": 1.5}, 0)
    assert found["tpami_ntu"].step == 8 and found["tpami_penn_same_data"].margins == {}
    own = recipe("spnet_s_actions").card()
    assert (own.margin, own.margins, own.step) == (1.25, {}, 0)


def test_the_reports_network_begins_from_imagenets_weights(tmp_path: Path) -> None:
    """Of torchvision's file (a stand-in of its form) by one option; the joints are the authors'."""
    shapes = {n: v.shape for n, v in VGG16Stem().features.state_dict().items()}
    file = {f"features.{n}": torch.rand(shape) for n, shape in shapes.items()}
    file |= {"features.28.weight": torch.rand(512, 512, 3, 3), "classifier.6.bias": torch.rand(9)}
    torch.save(file, tmp_path / "vgg16.pth")
    for name in ("report_vgg_mpii", "report_vgg_penn"):
        config = recipe(name)
        assert config.layout == "PA16" and config.model.entry_channels == 1024  # type: ignore[union-attr]
        model = initial_network(replace(config, stem=str(tmp_path / "vgg16.pth")))
        for n, value in model.get_submodule("entry.features").state_dict().items():
            assert torch.equal(value, file[f"features.{n}"])
    pose, heads, tuned = recipe("report_vgg_penn").stages
    assert (pose.optimizer, pose.lr, heads.optimizer, heads.momentum) == (
        "rmsprop",
        1e-3,
        "sgd",
        0.98,
    )
    assert (heads.lr, heads.trains, tuned.follow) == (2e-4, "actions_keras", 0.1)


# ------------------------------------------------------------------------------- price, list


def test_the_price_is_counted(tiny_config: SPNetConfig) -> None:
    """By hand: a pose stage, a frozen stage of clips, both alternating, and heads from a cache."""
    stills, clips = Mix("a", "people", 6), Mix("b", "people", 2, frames=4, clips=50)
    stages = (
        Stage("pose", 10, (stills,)),
        Stage("heads", 5, (clips,), trains="actions_keras"),
        Stage("both", 8, (stills, replace(clips, batch=1))),
        Stage("cached", 7, (clips,), trains="actions", cached=16),
    )
    config = Config("x", tiny_config, "PA17", (("a",) * 4,), stages, size=(64, 64), frames=4)
    found, model = cost(config), SPNet(tiny_config)
    assert found.parameters == sum(p.numel() for p in model.parameters())
    assert found.frame == multiply_adds(model, (64, 64)) and 0 < found.clip < found.frame
    assert found.frames == 60 + 40 + (24 + 32) + 200
    frames = 3 * 60 + 40 + 3 * (24 + 32) + 200
    clip = 3 * (10 + 8 + 7 * 16)
    assert found.total == frames * found.frame + clip * found.clip


def test_the_list_says_number_source_data_and_price(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes", "cvpr_h36m", "spnet_s"]) == 0
    text = capsys.readouterr().out
    for part in (
        "CVPR Table 1: Human3.6M MPJPE, single-crop: 55.1 mm",
        "16.61 M parameters",
        "12 mpii + 12 h36m",
        "h36m ($POSEACT_DATA/h36m), mpii ($POSEACT_DATA/mpii)",
        "spnet_s",
    ):
        assert part in text
    assert main(["recipes", "nonesuch"]) == 2
    assert (
        "no recipe 'nonesuch'; there are spnet_s, spnet_s_longer, spnet_s_actions, spnet_l, "
        in capsys.readouterr().err
    )


# ------------------------------------------------------------------------------- rehearsal


def record(number: int, frames: int) -> Record:
    rng = np.random.default_rng(number)
    xy = rng.uniform(10, 54, (frames, 16, 2))
    picture = rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)
    return Record(lambda _: picture, xy, MPII16, action=number % 2)


def miniature(root: Path) -> None:
    """MPII with 3 people to train on, Penn Action with 2 clips."""
    write_mpii({"train": [record(i, 1) for i in range(3)]}, root / "mpii")
    write_penn(
        {"train": [record(i, 30) for i in range(2)]}, root / "penn", labels=["bowl", "squat"]
    )


def test_a_rehearsal_steps_through_every_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    miniature(tmp_path)
    monkeypatch.setenv("POSEACT_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    small = ["--size", "64", "64", "--accelerator", "cpu"]
    assert main(["train", "tpami_penn_p1", "--dry-run", *small]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("tpami_penn_p1: 2,4") and "multiply-adds a frame" in lines[0]
    assert "stage pose, part mpii: 3 records" in lines
    assert "stage actions, part clips: 2 records" in lines
    assert any(
        line.startswith("  mpii: frames (26, 1, 3, 64, 64), pose (26, 1, 16") for line in lines
    )
    assert any(line.startswith("  clips: frames (4, 8, 3, 64, 64)") for line in lines)
    steps = [line for line in lines if "rmsprop step: total" in line]
    assert len(steps) == 4  # pose, actions, and both in two kinds of batches
    assert ["action" in line for line in steps] == [False, True, False, True]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mpii", "penn"]


def test_a_rehearsal_names_all_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["train", "tpami_penn_p1", "--dry-run", "--size", "64", "64", "--accelerator", "cpu"]
    monkeypatch.setenv("POSEACT_DATA", str(tmp_path))
    assert main(small) == 2
    error = capsys.readouterr().err.strip()
    for kind in ("mpii", "penn"):
        assert f"no {kind} data in {tmp_path / kind}" in " ".join(error.split())
    monkeypatch.delenv("POSEACT_DATA")
    assert main(small) == 2
    assert "$POSEACT_DATA is not set" in " ".join(capsys.readouterr().err.split())


def test_a_rehearsal_knows_cached_stages(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tiny_config: SPNetConfig,
) -> None:
    records = [record(i, 8) for i in range(4)]
    monkeypatch.setattr(data, "load", lambda *_, **__: records)
    monkeypatch.setitem(RECIPES, "tiny", lambda: config)
    clips = Mix("clips", "people", 2, frames=4)
    stage = Stage("heads", 50, (clips,), trains="actions", cached=3)
    model = replace(tiny_config, actions=(2,))
    config = Config(
        "tiny", model, "PA17", (("a", "b"),), (stage,), size=(64, 64), accelerator="cpu"
    )
    assert main(["train", "tiny", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "features (3, 4, 17, 3)" in out and "adamw step: total" in out


# ------------------------------------------------------------------------------- scripts, page


def commands(script: Path) -> list[list[str]]:
    """`train` and `score` lines of a script of runs/."""
    lines = [line.split(" #")[0].split() for line in script.read_text().splitlines()]
    return [words for words in lines if words[:1] in (["train"], ["score"])]


def test_scripts_train_before_they_score() -> None:
    scripts = [s for paper in ("tpami", "cvpr", "report") for s in ROOT.glob(f"runs/{paper}_*.sh")]
    assert len(scripts) == 14
    seen: set[str] = set()
    for script in sorted(scripts):
        trained: set[str] = set()
        for words in commands(script):
            recipe(words[1])
            if words[0] == "train":
                trained.add(words[1])
                continue
            assert words[1] in trained, f"{script.name} scores {words[1]} before its training"
            _, protocol = benchmarks.find(words[2], words[3])
            options = dict(zip(words[4::2], words[5::2]))
            options.pop("--block", None)
            protocol.arguments({name.strip("-"): value for name, value in options.items()})
        seen |= trained
    assert seen == set(EXPERIMENTS)


def test_the_page_names_every_recipe() -> None:
    page = (ROOT / "docs/reference/recipes.md").read_text()
    assert all(f"`{name}`" in page for name in EXPERIMENTS)
    code = page.split("```python\n")[1].split("```")[0].replace('fit(config, "run")', "")
    found: dict[str, Config] = {}
    exec(code, found)
    config = found["config"]
    assert loop.from_json(loop.to_json(config)) == config
    assert [m.action_set for m in config.stages[-1].mix] == [0, 0, 0, 0, 1]
