"""search.py, search_table.py, classifier.py: learning, choosing, keeping test subjects out."""

import csv
import dataclasses
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from poseact.cli.app import main
from poseact.core.layouts import MSR20
from poseact.models.enas import (
    OPERATIONS,
    PUBLISHED,
    ENASNet,
    Genotype,
    genotype_from_arc,
    parameters,
    read_genotype,
)
from poseact.models.enas_controller import Controller, ControllerConfig
from poseact.models.temporal import TemporalCNN
from poseact.skeletons import classifier
from poseact.skeletons.classifier import (
    Bank,
    Joints,
    Pictures,
    Training,
    accuracy,
    as_input,
    copy_accuracy,
    hold_out,
    open_takes,
    takes,
    train,
    view_accuracy,
)
from poseact.skeletons.classifier_file import load_classifier
from poseact.skeletons.learn.search import (
    Search,
    SearchConfig,
    by_adam,
    paper,
    reinforce,
    search,
    small,
)
from poseact.skeletons.learn.search_table import (
    Row,
    Table,
    _rank_correlation,
    _Score,
    _together,
    compare,
    open_test,
)
from poseact.skeletons.spmf import SPMFConfig, dataset_bones
from small_search import CLASSES, reads, records, tiny

__all__ = ["reads"]  # the fixture

# ------------------------------------------------------------------------------------- REINFORCE


def test_reinforce_makes_a_rewarded_choice_likelier() -> None:
    torch.manual_seed(0)
    controller = Controller(ControllerConfig(nodes=1, hidden=16, range=6.0, conv_prior=False))
    wanted = OPERATIONS.index("identity")
    optimizer = torch.optim.Adam(controller.parameters(), 0.02)
    draw = torch.Generator().manual_seed(0)

    def share() -> float:
        g = torch.Generator().manual_seed(1)
        with torch.no_grad():
            arcs = [controller.sample(g).genotype.arc() for _ in range(40)]
        return float(np.mean([arc[5] == wanted for arc in arcs]))

    def reward(genotype: Genotype) -> float:
        return float(genotype.arc()[5] == wanted)

    before, baseline = share(), float("nan")
    for _ in range(20):
        baseline = reinforce(
            *(controller, optimizer, reward, baseline), generator=draw, samples=6, decay=0.8
        )
    assert before < 0.4 and share() > before + 0.25
    assert baseline > 0.4


def test_one_step_is_the_gradient_of_minus_log_p_times_the_advantage() -> None:
    """Two samples, rewards 1 and 0: the gradients that come out are those of the formula."""
    torch.manual_seed(0)
    controller = Controller(ControllerConfig(nodes=1, hidden=4))
    g = torch.Generator().manual_seed(4)
    drawn = [controller.sample(g) for _ in range(2)]
    first = 0.9 * 0.5 + 0.1 * 1.0  # the baseline after each reward
    second = 0.9 * first
    loss = -(drawn[0].log_prob * (1 - first) + drawn[1].log_prob * (0 - second)) / 2
    wanted = torch.autograd.grad(loss, list(controller.parameters()), allow_unused=True)
    rewards = iter((1.0, 0.0))
    optimizer = torch.optim.SGD(controller.parameters(), 0.0)
    baseline = reinforce(
        *(controller, optimizer, lambda _: next(rewards), 0.5),
        generator=torch.Generator().manual_seed(4),
        samples=2,
        entropy_weight=0.0,
        decay=0.9,
    )
    assert baseline == pytest.approx(second)
    for parameter, gradient in zip(controller.parameters(), wanted):
        torch.testing.assert_close(parameter.grad, gradient)


def test_the_rate_restarts_in_longer_and_longer_rounds() -> None:
    config = SearchConfig("skeletons", "nowhere")
    assert [config.rate(e) for e in (0, 10, 30, 70)] == [0.05] * 4
    assert config.rate(5) == pytest.approx((0.05 + 5e-4) / 2)
    assert config.rate(20) == pytest.approx((0.05 + 5e-4) / 2)
    assert config.rate(29) < 1e-3 < config.rate(12)


# ------------------------------------------------------------------------------------- the search


def test_no_test_subject_is_read_before_the_choice_is_on_disk(
    reads: list[str], tmp_path: Path
) -> None:
    found = search(tiny(), tmp_path / "run")
    assert reads == ["train"]
    assert read_genotype(tmp_path / "run" / "genotype.json") == found.genotype
    rated = json.loads((tmp_path / "run" / "candidates.json").read_text())
    assert [r["shared"] for r in rated] == sorted((r["shared"] for r in rated), reverse=True)
    assert rated[0]["alone"] is not None and (tmp_path / "run" / "cells.png").stat().st_size > 1000
    table = compare(tiny(), tmp_path / "run", seeds=2, random=1, controls=(), copies=2)
    assert reads == ["train", "train", "test"]
    assert [row.name for row in table.rows] == ["searched", "random 1"]
    assert all(
        len(numbers) == 2 for row in table.rows for numbers in (row.accuracy, row.views, row.copies)
    )
    known = json.loads((tmp_path / "run" / "tested.json").read_text())["scores"]
    assert len(known) == 4 and all(len(score["probabilities"]) == 8 for score in known.values())
    with (tmp_path / "run" / "table.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [float(line["mean"]) for line in lines] == [row.mean for row in table.rows]
    assert "searched" in table.text()


def test_the_searched_network_is_left_as_a_classifier(reads: list[str], tmp_path: Path) -> None:
    found = search(tiny(fps=30.0), tmp_path)
    compare(tiny(fps=30.0), tmp_path, seeds=1, random=0, controls=())
    left = load_classifier(tmp_path / "classifier.safetensors")
    assert left.model.genotype == found.genotype and left.pictures == tiny().pictures.spmf
    assert (left.persons, left.flat, left.card.layout) == (1, False, "MSR20")
    assert left.card.labels == (("lift", "kick"),) and (left.card.frames, left.card.fps) == (12, 30)
    right = accuracy(left.model, Bank(tiny().open("test"), tiny().pictures))
    (row,) = json.loads((tmp_path / "table.json").read_text())["rows"]
    assert right == pytest.approx(row["accuracy"][0], abs=1 / 8)  # half precision: a take of 8


def test_bones_are_those_of_the_takes_that_are_learned_from(reads: list[str]) -> None:
    config = tiny(same_bones=True)
    training = config.open("train")
    learned, held = hold_out(training, config.validation)
    bones = config.fitted(learned).pictures.spmf.bones
    assert bones == dataset_bones([take.poses for take in learned], MSR20)
    assert bones != dataset_bones([take.poses for take in training], MSR20)
    lying = [dataclasses.replace(t, poses=t.poses * [1.0, 1.0, 0.0]) for t in learned]
    for fitted in (tiny().fitted(learned), config.fitted(lying)):
        assert fitted.pictures == config.pictures  # flat skeletons are foreshortened
    paths = [Joints(bones=b).plain(held[0]) for b in (None, bones)]
    assert np.abs(paths[0] - paths[1]).max() > 0.01


def test_a_stem_of_whole_columns_has_the_rows_of_the_pictures(reads: list[str]) -> None:
    learned = tiny().open("train")
    tall = Pictures(SPMFConfig(size=8, tiles=2, keep_rows=True), tiny().pictures.augment)
    config = tiny(pictures=tall, whole_columns=True)
    assert config.fitted(learned).rows == 2 * 190  # pairs of 20 joints
    assert tiny(pictures=tall).fitted(learned).rows == 3
    net = config.fitted(learned).shared_net(CLASSES)
    columns = net.stem(as_input(Bank(learned, tall).plain))
    assert columns.shape[2:] == (1, 8)


def test_the_card_has_the_size_of_the_pictures(reads: list[str], tmp_path: Path) -> None:
    tall = Pictures(SPMFConfig(size=8, tiles=2, keep_rows=True), tiny().pictures.augment)
    config = tiny(pictures=tall, whole_columns=True)
    search(config, tmp_path)
    compare(config, tmp_path, seeds=1, random=0, controls=())
    left = load_classifier(tmp_path / "classifier.safetensors")
    assert left.card.size == (380, 8) and left.pictures == tall.spmf


def test_a_table_before_the_search_is_refused(reads: list[str], tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="finish the search first"):
        compare(tiny(), tmp_path)
    assert reads == []


def test_the_validation_part_is_other_people(reads: list[str]) -> None:
    training = open_takes("skeletons", "nowhere", "train")
    rest, held = hold_out(training, ("7", "9"))
    assert {t.subject for t in rest} == {"1", "3", "5"}
    assert {t.subject for t in held} == {"7", "9"}
    for wrong in ((), ("2",), ("1", "3", "5", "7", "9")):
        with pytest.raises(ValueError, match="some of the training subjects 1, 3, 5, 7, 9"):
            hold_out(training, wrong)


def test_a_subject_in_both_splits_is_refused(
    reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    training = open_takes("skeletons", "nowhere", "train")
    monkeypatch.setattr("poseact.data.sets.skeletons.load", lambda *_, **__: records(range(4, 6)))
    with pytest.raises(ValueError, match="subjects 5 are in training and in test"):
        open_test(tiny(), training)


class Stop(Exception):
    pass


@pytest.mark.parametrize("where", ["learn_controller", "derive", "retrain"])
def test_a_stopped_search_ends_as_if_it_had_not_been(
    reads: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    whole = search(tiny(), tmp_path / "whole")
    real = getattr(Search, where)

    def stops(self: Search, *args: object) -> object:
        if self.epoch >= 1:
            raise Stop
        return real(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Search, where, stops)
        with pytest.raises(Stop):
            search(tiny(), tmp_path / "halves")
    with pytest.raises(ValueError, match="holds a run already"):
        search(tiny(), tmp_path / "halves")
    assert search(tiny(), tmp_path / "halves", resume=True) == whole
    a, b = (
        torch.load(tmp_path / run / "checkpoint.pt", weights_only=True)
        for run in ("whole", "halves")
    )
    assert all(torch.equal(a["net"][name], b["net"][name]) for name in a["net"])
    assert all(
        torch.equal(a["controller"][name], b["controller"][name]) for name in a["controller"]
    )
    assert a["epoch"] == b["epoch"] == 2 and a["baseline"] == b["baseline"]


def test_the_command_searches_and_tests(
    reads: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(
        "poseact.skeletons.learn.search.small", lambda *where, seed: tiny(seed=seed)
    )
    command = ["search", "--root", "nowhere", "--data", "skeletons", "-o", str(tmp_path / "run")]
    command += ["--fold", "2", "--fps", "30", "--directed", "0", "1", "--candidates", "adam"]
    command += ["--controller-lr", "3.5e-4", "--parameters", "1200"]
    assert main(command) == 0
    said = capsys.readouterr().out
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["fold"], config["fps"]) == (2, 30)
    assert config["pictures"]["augment"]["directed"] == [0, 1]
    final = config["final"]
    assert (final["optimizer"], final["lr"], final["lr_min"]) == ("adam", 3.5e-4, 3.5e-4)
    assert (config["controller_lr"], config["parameters"]) == (3.5e-4, 1200)
    assert "optimizer" not in config["shared"] and "folds" not in config
    assert "| searched |" in said and (tmp_path / "run" / "table.json").is_file()
    assert main(command) == 2 and "resume it" in capsys.readouterr().err
    assert main([*command, "--resume", "--random", "1"]) == 0
    again = capsys.readouterr().out
    assert "| random 1 |" in again and "searched, seed" not in again  # kept, not trained anew
    assert main([*command, "--resume", "--validation", "2"]) == 2


def test_the_papers_sizes_and_its_candidates() -> None:
    """About 2.3 M parameters on MSR Action3D and 3 M on SBU; Adam at 3.5e-4 (4.2, 4.4)."""
    for data, millions in (("msr3d", 2.3), ("sbu", 3.0)):
        config = paper(data, "nowhere")
        final = config.final_config(PUBLISHED, 8)
        assert parameters(ENASNet(PUBLISHED, final)) == pytest.approx(millions * 1e6, rel=0.06)
        assert config.shared.epochs == 200 and config.shared.optimizer == "sgd"
    config = replace(tiny(), final=by_adam(Training(epochs=2, batch=8)))
    net = nn.Linear(3, 2)
    adam = classifier.optimizer_of(net, config.final)
    assert isinstance(adam, torch.optim.Adam) and adam.param_groups[0]["lr"] == 3.5e-4
    assert {config.final.rate(epoch) for epoch in range(2)} == {3.5e-4}
    sgd = classifier.optimizer_of(net, config.shared)
    assert isinstance(sgd, torch.optim.SGD) and sgd.param_groups[0]["nesterov"]
    note = config.note()
    assert note["final"]["optimizer"] == "adam" and "optimizer" not in note["shared"]


def test_another_search_does_not_go_on_in_the_folder(reads: list[str], tmp_path: Path) -> None:
    search(tiny(shared=Training(epochs=1, batch=8)), tmp_path)
    with pytest.raises(ValueError, match="configuration of another run"):
        search(tiny(seed=1), tmp_path, resume=True)


def test_the_best_on_validation_is_chosen(reads: list[str]) -> None:
    bank = Bank(takes(records(range(1, 3))), tiny().pictures)
    run = Search(tiny(), CLASSES, bank, bank)
    arcs = [(0, op, 1, 4) * 2 for op in range(3)]
    run.candidates = [(arcs[0], 0.9), (arcs[1], 0.8), (arcs[2], 0.7)]
    run.alone = [0.5, 0.75, 0.75]
    assert run.found().genotype == genotype_from_arc(arcs[1])


# ------------------------------------------------------------------------- data, training, scores


def test_persons_with_one_source_are_one_take() -> None:
    pair = [dataclasses.replace(r, source="one") for r in records(range(1, 3))[::4]]
    [take] = takes(pair)
    assert take.poses.shape == (12, 2, 20, 3) and take.subject == "1-2"
    with pytest.raises(ValueError, match="one: recognition needs 3D joints"):
        takes([dataclasses.replace(pair[0], xyz=None)])


def test_copies_hang_on_seed_and_number_alone() -> None:
    some = takes(records(range(1, 3)))
    pictures = tiny().pictures
    many, few = Bank(some, pictures, copies=3), Bank(some[:2], pictures, copies=2)
    assert many.drawn is not None and few.drawn is not None
    assert torch.equal(many.drawn[:2, :2], few.drawn)
    other = Bank(some[:2], pictures, copies=2, seed=1).drawn
    assert other is not None and not torch.equal(few.drawn, other)
    assert many.plain.shape == (8, 3, 8, 8) and many.plain.dtype == torch.uint8


def test_an_epoch_has_every_take_once_in_batches_of_like_size() -> None:
    bank = Bank(takes(records(range(1, 4))), Joints(8), copies=2)  # 12 takes
    bank.action = torch.arange(12)
    batches = list(bank.epoch(5, np.random.default_rng(0)))
    assert [len(action) for _, action in batches] == [4, 4, 4]
    assert sorted(torch.cat([action for _, action in batches]).tolist()) == list(range(12))
    assert bank.drawn is not None
    for x, action in batches:
        for row, number in zip(x, action):
            assert any(torch.equal(row, copy) for copy in bank.drawn[number])


def test_joints_are_about_the_hips_in_torsos_whatever_size_and_place() -> None:
    [take] = takes(records(range(1, 2))[:1])
    moved = dataclasses.replace(take, poses=take.poses * 3 + [100.0, 50.0, 2000.0])
    a, b = Joints(8).plain(take), Joints(8).plain(moved)
    assert a.shape == (60, 8)
    np.testing.assert_allclose(a, b, atol=1e-4)
    hips = a.reshape(20, 3, 8)[[MSR20.index("l_hip"), MSR20.index("r_hip")]].mean(0)
    np.testing.assert_allclose(hips, 0, atol=1e-5)


def test_a_plain_classifier_learns_and_is_scored_once_a_sequence() -> None:
    learned = Bank(takes(records(range(1, 10, 2))), Joints(16), copies=2)
    test = Bank(takes(records(range(2, 5, 2))), Joints(16), copies=3)
    training = Training(epochs=30, batch=10)
    model = train(lambda: TemporalCNN(60, 2, width=16), learned, training, seed=0)
    again = train(lambda: TemporalCNN(60, 2, width=16), learned, training, seed=0)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters()))
    assert accuracy(model, test) == view_accuracy(model, test) == 1.0
    test.action = 1 - test.action
    assert accuracy(model, test) == 0.0 and copy_accuracy(model, test) <= 0.2
    test.action[0] = 1 - test.action[0]
    assert accuracy(model, test) == pytest.approx(1 / 8)


def test_spread_is_over_seeds() -> None:
    row = Row("x", 1, (0.8, 0.9, 1.0), 1.0, (), (), None)
    assert row.mean == pytest.approx(0.9) and row.spread == pytest.approx(0.1)


def test_the_rank_correlation_is_spearmans() -> None:
    """Ranks 1 2.5 2.5 4 against 1 3 2 4; rows outside the space do not count."""
    pairs = [(0.1, 0.2), (0.5, 0.6), (0.5, 0.5), (0.9, 0.7), (None, 0.0)]
    rows = [Row("x", 1, (alone,), alone, (), (), shared) for shared, alone in pairs]
    assert _rank_correlation(rows) == pytest.approx(4.5 / math.sqrt(4.5 * 5))
    assert _rank_correlation(rows[3:]) is None
    assert _rank_correlation([Row("x", 1, (0.5,), 0.5, (), (), s) for s in (0.1, 0.2, 0.3)]) is None


def test_seeds_answer_together_by_the_mean_of_their_probabilities() -> None:
    bank = Bank(takes(records(range(1, 2))), tiny().pictures)
    assert bank.action.tolist() == [0, 0, 1, 1]
    sure = [[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.8, 0.2]]
    doubtful = [[0.4, 0.6], [0.4, 0.6], [0.1, 0.9], [0.3, 0.7]]
    assert _together([_Score(0.75, sure), _Score(0.5, doubtful)], bank) == 0.75
    row = Row("x", 1, (0.75, 0.5), 0.75, (), (), None)
    assert "| 62.5 +- 17.7 | 75.0 |" in Table((row,), None).text()


def test_views_of_a_take_answer_together() -> None:
    """Two takes, two views each: the mean of the probabilities decides, not the take as it is."""
    bank = Bank(takes(records(range(1, 3)))[:2], Joints(8), copies=2)
    bank.plain = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    bank.drawn = torch.tensor([[[0.0, 3.0], [0.0, 3.0]], [[0.0, 1.0], [1.0, 0.0]]])
    bank.action = torch.tensor([0, 1])
    assert accuracy(nn.Identity(), bank) == 1.0
    assert view_accuracy(nn.Identity(), bank) == 0.5  # 0.88, 0.05, 0.05 for class 0
    assert copy_accuracy(nn.Identity(), bank) == 0.25
    with pytest.raises(ValueError, match="no views"):
        view_accuracy(nn.Identity(), Bank(takes(records(range(1, 2))), Joints(8)))


def test_the_rate_rises_over_the_warmup() -> None:
    training = Training(epochs=10, lr=0.4, lr_min=0.0, warmup=3)
    assert training.rate(0) == pytest.approx(0.1)
    assert training.rate(1) == pytest.approx(0.2 * (1 + math.cos(math.pi * 0.1)) / 2)
    assert training.rate(5) == pytest.approx(0.2)
    with pytest.raises(ValueError, match="smoothing a share under 1"):
        Training(smoothing=1.0)


def test_pairs_in_two_axes_are_split_by_fold(tmp_path: Path) -> None:
    """A file of the two-person form: 2 classes of 10 sequences, two of each in a fold."""
    x = np.random.default_rng(0).uniform(-0.5, 0.5, (20, 2, 6, 15, 2)).astype(np.float32)
    np.savez(tmp_path / "pairs.npz", x=x, label=np.repeat([0, 1], 10))
    training = open_takes("skeletons", tmp_path / "pairs.npz", "train", fold=2)
    test = open_takes("skeletons", tmp_path / "pairs.npz", "test", fold=2)
    assert {t.subject for t in training} == {"fold 1", "fold 3", "fold 4", "fold 5"}
    assert {t.subject for t in test} == {"fold 2"} and len(test) == 4
    assert all(t.poses.shape == (6, 2, 15, 3) and (t.poses[..., 2] == 0).all() for t in test)
    assert np.ptp(test[0].poses[..., 0]) > 500  # mm
    rest, held = hold_out(training, ("fold 3",))
    assert len(rest) == 12 and len(held) == 4


def test_unknown_data_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown data set 'nope'"):
        open_takes("nope", "x", "train")
    with pytest.raises(ValueError, match="sbu has no subsets"):
        open_takes("sbu", "x", "train", subset="AS1")
    with pytest.raises(ValueError, match="some of the classes"):
        classifier.class_count(takes([r for r in records(range(1, 2)) if r.action == 1]))


@pytest.mark.filterwarnings("ignore:.*published list")
def test_sizes_of_msr_action_3d(shared_data: Path) -> None:
    """Train and test sequences of the published cross-subject protocol."""
    path = shared_data / "skeletons" / "msr_action3d.npz"
    sizes = {
        subset: tuple(
            len(open_takes("msr3d", path, split, subset=subset)) for split in ("train", "test")
        )
        for subset in ("AS1", "AS2", "AS3")
    }
    assert sizes == {"AS1": (114, 105), "AS2": (116, 112), "AS3": (111, 111)}
    training = open_takes("msr3d", path, "train", subset="AS1")
    assert {t.subject for t in training} == {"1", "3", "5", "7", "9"}
    config = small("msr3d", str(path), "AS1")
    bank = Bank(training[:3], config.pictures, copies=1)
    assert bank.plain.shape == (3, 3, 32, 32) and bank.plain.float().std() > 20


@pytest.mark.filterwarnings("ignore:.*published list")
def test_the_shipped_classifier_does_what_its_card_says(shared_data: Path) -> None:
    """88.6 % of the test people's 273 sequences, as recorded: 242 of them."""
    shipped = load_classifier("msr20")
    test = open_takes("msr3d", shared_data / "skeletons" / "msr_action3d.npz", "test")
    bank = Bank(test, Pictures(shipped.pictures))
    assert accuracy(shipped.model, bank) * len(test) == pytest.approx(242, abs=1)
    assert shipped.card.labels[0][test[0].action] == "high arm wave"
