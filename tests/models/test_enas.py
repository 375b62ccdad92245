"""models/enas.py, its controller, and the networks beside it."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from poseact.models.densenet import DenseNet
from poseact.models.enas import (
    OPERATIONS,
    PUBLISHED,
    ENASConfig,
    ENASNet,
    FactorizedReduction,
    Genotype,
    Node,
    SharedCell,
    SharedNet,
    fit_channels,
    genotype_from_arc,
    keeps,
    loose_ends,
    operation,
    parameters,
    random_genotype,
    read_genotype,
)
from poseact.models.enas_controller import Controller, ControllerConfig
from poseact.models.temporal import TemporalCNN
from poseact.skeletons.cells import draw_cells

IDENTITIES = genotype_from_arc([0, 4, 1, 4] * 2)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# ---------------------------------------------------------------------------------------- genotype


def test_an_arc_is_input_operation_input_operation_the_normal_cell_first() -> None:
    genotype = genotype_from_arc([0, 4, 1, 0, 2, 3, 1, 1, 1, 2, 1, 2, 0, 0, 2, 4])
    assert genotype.normal == (
        Node(0, "identity", 1, "sep_conv_3x3"),
        Node(2, "max_pool_3x3", 1, "sep_conv_5x5"),
    )
    assert genotype.reduction[1] == Node(0, "sep_conv_3x3", 2, "identity")


def test_genotypes_survive_arc_and_file(tmp_path: Path) -> None:
    for seed in range(20):
        genotype = random_genotype(1 + seed % 5, generator(seed))
        assert genotype_from_arc(genotype.arc()) == genotype
        (tmp_path / "g.json").write_text(genotype.to_json())
        assert read_genotype(tmp_path / "g.json") == genotype
    assert json.loads(IDENTITIES.to_json())["normal"] == [[0, "identity", 1, "identity"]]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "not a genotype"),
        ("[]", "not a genotype"),
        ('{"normal": [[0, "identity", 1, "identity"]]}', "reduction"),
        (IDENTITIES.to_json().replace("identity", "conv_7x7"), "conv_7x7"),
        (IDENTITIES.to_json().replace("[0,", "[2,"), "inputs 0 to 1, got 2"),
        (IDENTITIES.to_json().replace("[0,", "[-1,"), "got -1"),
        ('{"normal": [], "reduction": []}', "1 or more"),
        ('{"normal": [[0, "identity", 1]], "reduction": [[0, "identity", 1]]}', "not a genotype"),
    ],
)
def test_a_bad_genotype_file_is_refused_by_name(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(ValueError, match=complaint) as error:
        read_genotype(tmp_path / "bad.json")
    assert "bad.json" in str(error.value)


@pytest.mark.parametrize("arc", [[], [0, 4, 1], [0, 5, 1, 4] * 2, [0, -1, 1, 4] * 2])
def test_a_bad_arc_is_refused(arc: list[int]) -> None:
    with pytest.raises(ValueError, match="arc has 8 numbers|operations are numbers"):
        genotype_from_arc(arc)


def test_loose_ends_are_the_nodes_nobody_uses() -> None:
    assert loose_ends(PUBLISHED.normal) == (2, 3, 4, 5, 6)
    assert loose_ends(PUBLISHED.reduction) == (2, 4, 5, 6)  # node 4 uses node 3
    chain = [Node(0, "identity", 1, "identity"), Node(2, "identity", 2, "identity")]
    assert loose_ends(tuple(chain)) == (3,)  # and never inputs, used or not


def test_random_genotypes_reach_all_of_the_space() -> None:
    drawn = [random_genotype(2, generator(seed)) for seed in range(300)]
    assert {node.op_a for g in drawn for node in g.reduction} == set(OPERATIONS)
    assert {g.normal[1].input_b for g in drawn} == {0, 1, 2}
    assert {g.normal[0].input_a for g in drawn} == {0, 1}


# --------------------------------------------------------------------------------------- networks


@pytest.mark.parametrize(
    ("blocks", "channels", "millions"),
    [
        *((5, 36, 3.73), (3, 32, 1.92), (5, 24, 1.74), (2, 36, 1.73), (2, 20, 0.58)),
        *((3, 36, 2.40), (5, 28, 2.32), (4, 32, 2.45), (5, 32, 2.98), (4, 36, 3.06)),
    ],
)
def test_sizes_with_the_published_cells(blocks: int, channels: int, millions: float) -> None:
    with torch.device("meta"):
        model = ENASNet(PUBLISHED, ENASConfig(8, blocks, channels))
    assert round(parameters(model) / 1e6, 2) == millions


def test_parameters_by_hand() -> None:
    """Identities at one cell a block: all weights are those of stem, fitting, halving and head."""
    c = 4
    config = ENASConfig(classes=5, blocks=1, channels=c)
    stem = 27 * 3 * c + 2 * 3 * c
    outputs = [3 * c, 3 * c, c, 2 * c, 2 * c, 4 * c, 4 * c]  # of stem, stem, and the five cells
    fitting = sum(
        (outputs[i] + outputs[i + 1]) * wide + 2 * 2 * wide
        for i, wide in enumerate([c, 2 * c, 2 * c, 4 * c, 4 * c])
    )
    halving = sum(2 * (wide * wide + 2 * wide) for wide in (2 * c, 4 * c))
    head = 4 * c * 5 + 5
    assert parameters(ENASNet(IDENTITIES, config)) == stem + fitting + halving + head


def test_channels_are_fitted_to_a_size() -> None:
    for genotype, target in ((PUBLISHED, 580_000), (random_genotype(3, generator(3)), 60_000)):
        channels = fit_channels(genotype, 2, target)
        off = [
            abs(parameters(ENASNet(genotype, ENASConfig(8, 2, c))) - target)
            for c in (channels - 1, channels, channels + 1)
        ]
        assert min(off) == off[1]
    assert fit_channels(PUBLISHED, 2, 582_148) == 20


def test_a_stem_of_all_rows_reads_moments() -> None:
    """One row is left, and what happens in the last column does not reach the first."""
    genotype = random_genotype(3, generator(5))
    config = ENASConfig(7, blocks=1, channels=4, rows=12)
    model = ENASNet(genotype, config).eval()
    x = torch.rand(2, 3, 12, 20)
    stem = model.stem(x)
    assert stem.shape == (2, 12, 1, 20) and model(x).shape == (2, 7)
    stem_parameters = 3 * 12 * 3 * 12 + 2 * 12  # kernel of 12 x 3 px, normalisation
    assert parameters(model.stem) == stem_parameters
    changed = x.clone()
    changed[..., 0, -1] += 1
    apart = (model.stem(changed) - stem).abs().amax((0, 1, 2))
    assert (apart[-2:] > 0).all() and (apart[:-2] == 0).all()
    assert SharedNet(3, config)(x, genotype).shape == (2, 7)
    with pytest.raises(ValueError, match="rows are 1 or more"):
        ENASConfig(7, rows=0)


@pytest.mark.parametrize("size", [16, 21])
def test_sides_are_halved_twice_and_channels_doubled(size: int) -> None:
    genotype = random_genotype(4, generator(5))
    model = ENASNet(genotype, ENASConfig(7, blocks=2, channels=4)).eval()
    shapes: list[tuple[int, ...]] = []
    for cell in model.cells:
        cell.register_forward_hook(lambda *seen: shapes.append(tuple(seen[2].shape)))
    assert model(torch.rand(3, 3, size, size)).shape == (3, 7)
    half, quarter = math.ceil(size / 2), math.ceil(size / 4)
    normal, reduction = len(loose_ends(genotype.normal)), len(loose_ends(genotype.reduction))
    assert [shape[2] for shape in shapes] == [size] * 2 + [half] * 3 + [quarter] * 3
    ends = [normal, normal, reduction, normal, normal, reduction, normal, normal]
    assert [shape[1] for shape in shapes] == [
        width * n for width, n in zip([4, 4, 8, 8, 8, 16, 16, 16], ends)
    ]


def test_a_cell_adds_up_what_the_genotype_says() -> None:
    """One block of known numbers through node 2 = max(input 0) + input 1."""
    genotype = genotype_from_arc([0, 3, 1, 4] * 2)
    model = ENASNet(genotype, ENASConfig(2, blocks=1, channels=3, drop_path=0.0)).eval()
    cell = model.cells[0]
    cell.fit = torch.nn.ModuleList([torch.nn.Identity(), torch.nn.Identity()])
    a, b = torch.rand(2, 3, 6, 6), torch.rand(2, 3, 6, 6)
    padded = torch.nn.functional.pad(a, (1, 1, 1, 1))
    largest = torch.stack(
        [padded[..., i : i + 6, j : j + 6] for i, j in itertools.product(range(3), repeat=2)]
    ).amax(0)
    torch.testing.assert_close(cell(a, b, 1.0), largest + b)


def test_average_pooling_does_not_count_the_border() -> None:
    ones = torch.ones(1, 2, 5, 5)
    torch.testing.assert_close(operation("avg_pool_3x3", 2)(ones), ones)


def test_factorised_reduction_sees_even_and_odd_pixels() -> None:
    layer = FactorizedReduction(1, 2, True).eval()
    for convolution in (layer.even, layer.odd):
        torch.nn.init.ones_(convolution.weight)
    picture = torch.arange(16.0).view(1, 1, 4, 4)
    out = layer(picture) * math.sqrt(1 + layer.norm.eps)
    torch.testing.assert_close(out[0, 0], torch.tensor([[0.0, 2.0], [8.0, 10.0]]))
    torch.testing.assert_close(out[0, 1], torch.tensor([[5.0, 7.0], [13.0, 15.0]]))


def test_drop_path_grows_with_depth_and_progress() -> None:
    config = ENASConfig(8, blocks=2, drop_path=0.4)
    assert keeps(config, 0.0) == [1.0] * 8
    assert keeps(config, 1.0)[-1] == pytest.approx(0.6)
    assert keeps(config, 0.5)[3] == pytest.approx(1 - 0.5 * 4 / 8 * 0.4)
    model = ENASNet(PUBLISHED, ENASConfig(8, 1, 4, dropout=0.0, drop_path=0.9))
    x = torch.rand(2, 3, 8, 8)
    model.progress = 1.0
    assert not torch.equal(model.train()(x), model(x))
    assert torch.equal(model.eval()(x), model(x))


def test_networks_begin_with_he() -> None:
    """Normal, of deviation sqrt(2 / fan in) (Pham et al. 2019, 4.2)."""
    torch.manual_seed(0)
    model = ENASNet(PUBLISHED, ENASConfig(8, blocks=3, channels=20))
    convs = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d)]
    shares = []
    for conv in convs:
        expected = (2 / conv.weight[0].numel()) ** 0.5
        shares.append(float(conv.weight.detach().std()) / expected)
    assert sum(shares) / len(shares) == pytest.approx(1, abs=0.02)
    assert min(shares) > 0.7 and max(shares) < 1.3


def test_a_network_learns_one_batch() -> None:
    torch.manual_seed(0)
    model = ENASNet(random_genotype(2, generator(1)), ENASConfig(4, 1, 6, 0.0, 0.0))
    x, y = torch.rand(8, 3, 12, 12), torch.arange(8) % 4
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(40):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    assert (model(x).argmax(1) == y).all()


# ----------------------------------------------------------------------------------- shared weights


def test_only_sampled_operations_get_gradients() -> None:
    net = SharedNet(2, ENASConfig(3, blocks=1, channels=4))
    genotype = genotype_from_arc([0, 0, 1, 1, 2, 0, 0, 2, 1, 1, 1, 0, 0, 0, 1, 4])
    net(torch.rand(4, 3, 8, 8), genotype).sum().backward()
    for place, cell in enumerate(net.cells):
        assert isinstance(cell, SharedCell) and isinstance(cell.ops, torch.nn.ModuleDict)
        assert cell.merge.grad is not None
        nodes = genotype.reduction if place in (1, 3) else genotype.normal
        expected = {
            f"{n}_{branch}_{source}_{op}"
            for n, node in enumerate(nodes, start=2)
            for branch, (source, op) in enumerate(node.branches())
            if op.startswith("sep_conv")
        }
        learned = {
            name.split(".")[0] for name, p in cell.ops.named_parameters() if p.grad is not None
        }
        assert learned == expected
        rows = {n + 2 for n in range(2) if cell.merge.grad[n].any()}
        assert rows == set(loose_ends(nodes))


def test_shared_weights_fit_every_architecture() -> None:
    net = SharedNet(3, ENASConfig(5, blocks=1, channels=4)).eval()
    for seed in range(8):
        assert net(torch.rand(2, 3, 9, 9), random_genotype(3, generator(seed))).shape == (2, 5)
    with pytest.raises(ValueError, match="have 3 nodes, not 5"):
        net(torch.rand(2, 3, 8, 8), PUBLISHED)


def test_shared_weights_normalise_by_the_batch_even_in_eval_mode() -> None:
    net = SharedNet(1, ENASConfig(5, blocks=1, channels=4)).eval()
    x = torch.rand(6, 3, 8, 8)
    assert not [name for name, _ in net.named_buffers()]
    alone, together = net(x[:3], IDENTITIES), net(x, IDENTITIES)[:3]
    assert not torch.allclose(alone, together, atol=1e-4)
    torch.testing.assert_close(net(x * 3, IDENTITIES), net(x, IDENTITIES), atol=1e-2, rtol=1e-2)


# --------------------------------------------------------------------------------------- controller


def test_probabilities_of_all_architectures_of_one_node_sum_to_one() -> None:
    torch.manual_seed(1)
    controller = Controller(ControllerConfig(nodes=1, hidden=5, range=3.0))
    cells = list(itertools.product(range(2), range(5), range(2), range(5)))
    some = [[*a, *b] for a, b in itertools.product(cells[::7], cells[::9])]
    with torch.no_grad():
        for arc in some[:3]:
            sampled = controller.rate(genotype_from_arc(arc))
            assert float(sampled.log_prob) == pytest.approx(by_hand(controller, arc), abs=1e-5)
        total = sum(
            math.exp(float(controller.rate(genotype_from_arc([*first, *second])).log_prob))
            for first, second in itertools.product(cells[:10], cells)
        )  # normal cells whose first three numbers are 0 0 0 or 0 0 1, and every reduction cell
        marginal = sum(
            math.exp(by_hand(controller, [*first, 0, 0, 0, 0], cells=1)) for first in cells[:10]
        )
    assert total == pytest.approx(marginal, rel=1e-4)


def by_hand(controller: Controller, arc: list[int], cells: int = 2) -> float:
    """The log-probability of an arc of one node, in NumPy, with the LSTM written out."""
    w = {name: p.detach().double().numpy() for name, p in controller.named_parameters()}
    config = controller.config
    h = c = np.zeros(config.hidden)

    def step(x: np.ndarray) -> None:
        nonlocal h, c
        i, f, g, o = np.split(w["lstm.weight_ih"] @ x + w["lstm.weight_hh"] @ h, 4)
        i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
        c = f * c + i * np.tanh(g)
        h = o * np.tanh(c)

    def log_p(logits: np.ndarray, choice: int) -> float:
        return float(logits[choice] - np.log(np.exp(logits).sum()))

    total = 0.0
    for cell in range(cells):
        keys = []
        for _ in range(2):
            step(w["start"][0])
            keys.append(w["key.weight"] @ h)
        in_a, op_a, in_b, op_b = arc[4 * cell : 4 * cell + 4]
        for choice, x in ((in_a, w["start"][0]), (in_b, np.zeros(config.hidden))):
            step(x)
            scores = [w["attention.weight"][0] @ np.tanh(k + w["query.weight"] @ h) for k in keys]
            total += log_p(config.range * np.tanh(np.array(scores)), choice)
        for choice, x in ((op_a, np.zeros(config.hidden)), (op_b, w["op_embedding"][op_a])):
            step(x)
            logits = (
                config.range
                / config.op_reduce
                * np.tanh(w["op_logits.weight"] @ h + w["op_logits.bias"])
            )
            prior = np.array([0.25, 0.25, -0.25, -0.25, -0.25]) * (cell == 0)
            total += log_p(logits + prior, choice)
        step(w["op_embedding"][op_b])
    return total


def test_what_is_sampled_is_rated_alike_and_can_be_repeated() -> None:
    torch.manual_seed(2)
    controller = Controller(ControllerConfig(nodes=4))
    first, again = controller.sample(generator(7)), controller.sample(generator(7))
    assert first.genotype == again.genotype and first.genotype.nodes == 4
    rated = controller.rate(first.genotype)
    torch.testing.assert_close(rated.log_prob, first.log_prob)
    torch.testing.assert_close(rated.entropy, first.entropy)
    assert len({controller.sample(generator(s)).genotype for s in range(10)}) == 10


def test_sampling_follows_the_probabilities() -> None:
    torch.manual_seed(3)
    controller = Controller(ControllerConfig(nodes=1, hidden=4))
    draws, g = 600, generator()
    with torch.no_grad():
        ops = [controller.sample(g).genotype.normal[0].op_a for _ in range(draws)]
    # The weights are small: the tanh of the offsets 10 and of 0 is all but the whole answer.
    high, low = math.exp(1.1 / 2.5 + 0.25), math.exp(-0.25)
    share = 2 * high / (2 * high + 3 * low)
    assert sum(op.startswith("sep") for op in ops) / draws == pytest.approx(share, abs=0.07)


def test_without_the_prior_operations_start_alike() -> None:
    controller = Controller(ControllerConfig(nodes=1, conv_prior=False))
    for parameter in controller.parameters():
        torch.nn.init.zeros_(parameter)
    with torch.no_grad():
        sampled = controller.rate(IDENTITIES)
    assert float(sampled.log_prob) == pytest.approx(-4 * math.log(2) - 4 * math.log(5), abs=1e-5)
    assert float(sampled.entropy) == pytest.approx(4 * math.log(2) + 4 * math.log(5), abs=1e-5)


# ----------------------------------------------------------------------------------------- controls


def test_densenet_has_the_published_size() -> None:
    layers = sum(
        2 * c + 9 * 12 * c for b in range(3) for c in range(16 + 144 * b, 160 + 144 * b, 12)
    )
    transitions = sum(2 * c + c * c for c in (160, 304))
    assert parameters(DenseNet(10)) == 27 * 16 + layers + transitions + 2 * 448 + 4490
    assert parameters(DenseNet(10)) == 1_019_722  # "1.0 M" in table 2 of the paper


def test_controls_have_the_right_shapes() -> None:
    assert DenseNet(8, depth=10, growth=4)(torch.rand(2, 3, 16, 16)).shape == (2, 8)
    assert TemporalCNN(60, 8)(torch.rand(2, 60, 32)).shape == (2, 8)
    with pytest.raises(ValueError, match="3 n \\+ 4"):
        DenseNet(8, depth=41)


def test_cells_are_drawn_with_the_colour_of_each_operation() -> None:
    cells = {"normal": (IDENTITIES.normal, (2,))}
    grey = draw_cells(cells)
    red = draw_cells({"normal": ((Node(0, "sep_conv_3x3", 1, "identity"),), (2,))})
    changed = (grey != red).any(-1)
    assert grey.shape == red.shape and grey.dtype == np.uint8
    assert changed.any() and not changed[-56:].any()  # the line, not the legend
    colours = red[changed].reshape(-1, 3)
    assert (np.abs(colours.astype(int) - (214, 92, 54)).sum(1) < 30).mean() > 0.3


def test_a_genotype_needs_two_cells_of_one_size() -> None:
    with pytest.raises(ValueError, match="same number of nodes"):
        Genotype(PUBLISHED.normal, IDENTITIES.reduction)
