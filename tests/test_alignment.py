"""Alignment of features: distances are their formulas, and training with them makes domains hard to tell apart."""

import copy
import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from timm.layers import BatchNormAct2d
from torch import nn
from torch.nn import functional

from fetalkit.classifiers import models
from fetalkit.classifiers.trainer import Recipe
from fetalkit.experiments.transfer import adabn, adversary
from fetalkit.experiments.transfer.alignment import Aligned, coral, mmd
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.streams import rng

CPU = torch.device("cpu")
DISTANCES = pytest.mark.parametrize("distance", [coral, mmd])
WIDTH = 8  # of the toy network's features
RECIPE = Recipe(batch_size=64, learning_rate=1e-2, weight_decay=0.05, warmup_fraction=0.1, label_smoothing=0.0)


def features(n=40, d=5, seed=0, scale=1.0, shift=0.0):
    return torch.randn(n, d, generator=rng(seed)) * scale + shift


# The distances.


@DISTANCES
def test_equal_batches_have_no_distance(distance):
    batch = features()
    assert distance(batch, batch.clone()).item() == pytest.approx(0, abs=1e-6)
    assert distance(batch, batch.flip(0)).item() == pytest.approx(0, abs=1e-6), "the order of images counts"


@DISTANCES
@pytest.mark.parametrize("sizes", [(2, 2), (40, 7)])
def test_distances_are_symmetric_and_not_negative(distance, sizes):
    for seed in range(20):
        one, other = features(sizes[0], seed=seed), features(sizes[1], seed=-seed - 1, scale=2.0)
        assert distance(one, other).item() == pytest.approx(distance(other, one).item(), rel=1e-4)
        assert distance(one, other) > 1e-3


def test_coral_of_known_covariances():
    """Covariances 2/3 and 8/3 times the unit matrix of two features: (2² + 2²) / (4 · 2²)."""
    cross = torch.tensor([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
    assert coral(cross, 2 * cross).item() == pytest.approx(0.5)
    assert coral(3 * cross, 6 * cross).item() == pytest.approx(0.5 * 3**4)


def test_coral_does_not_see_means_and_sees_correlation():
    batch = features()
    assert coral(batch, batch + 3).item() == pytest.approx(0, abs=1e-9)
    mirrored = batch.clone()
    mirrored[:, 0] = batch[:, 1]
    mirrored[:, 1] = -batch[:, 0]
    expected = (np.cov(batch.T.numpy()) - np.cov(mirrored.T.numpy())) ** 2
    assert coral(batch, mirrored).item() == pytest.approx(expected.sum() / 100, rel=1e-4)


def by_hand(shift, median):
    """MMD of {0, 2} and the same shifted, with ``exp(−distance² / median)``."""
    across = sum(weight * math.exp(-((shift + way) ** 2) / median) for weight, way in ((2, 0), (1, 2), (1, -2)))
    return 1 + math.exp(-4 / median) - across / 2


# The lower medians of 1, 4, 4, 9, 9, 25 (one within a batch), and of 0.25, 2.25, 2.25, 4, 4, 12.25 (one between batches).
@pytest.mark.parametrize(("shift", "median"), [(3.0, 4.0), (1.5, 2.25)])
def test_mmd_of_a_shift_is_the_value_computed_by_hand_and_no_gradient_flows_through_the_median(shift, median):
    points, shift = torch.tensor([[0.0], [2.0]]), torch.tensor(shift, requires_grad=True)
    distance = mmd(points, points + shift, factors=(1.0,))
    distance.backward()
    assert distance.item() == pytest.approx(by_hand(shift.item(), median), abs=1e-6)
    slope = (by_hand(shift.item() + 1e-5, median) - by_hand(shift.item() - 1e-5, median)) / 2e-5
    assert shift.grad.item() == pytest.approx(slope, rel=1e-4)


def test_mmd_is_the_mean_over_its_kernels_and_ignores_scale_and_common_shift():
    one, other = features(), features(30, seed=1, shift=1.0)
    single = [mmd(one, other, factors=(factor,)).item() for factor in (0.5, 2.0)]
    assert mmd(one, other, factors=(0.5, 2.0)).item() == pytest.approx(np.mean(single), rel=1e-4)
    assert abs(single[0] - single[1]) > 1e-3
    assert mmd(100 * one + 50, 100 * other + 50).item() == pytest.approx(mmd(one, other).item(), rel=1e-3)


def test_mmd_of_domains_far_apart_and_of_equal_rows():
    one = features(scale=1e-3)
    assert mmd(one, one + 1e3, factors=(0.01,)).item() == pytest.approx(1 + 1, rel=1e-3)
    same = torch.ones(4, 3, requires_grad=True)
    mmd(same, torch.ones(4, 3)).backward()
    assert torch.equal(same.grad, torch.zeros(4, 3))


@DISTANCES
def test_distances_can_be_descended_by_either_side(distance):
    one, other = features().requires_grad_(), features(30, seed=1, scale=2.0, shift=1.0).requires_grad_()
    before = distance(one, other)
    gradients = torch.autograd.grad(before, [one, other])
    for moved in ((one - 0.1 * gradients[0], other), (one, other - 0.1 * gradients[1])):
        assert distance(*moved) < before


@DISTANCES
@pytest.mark.parametrize("shapes", [((4, 3), (4, 2)), ((1, 3), (4, 3)), ((4, 3), (1, 3)), ((4, 3, 2), (4, 3, 2))])
def test_features_of_other_shapes_are_one_clear_line(distance, shapes):
    with pytest.raises(FetalkitError, match=r"features \(.*\) and \(.*\): give \(n, d\) and \(m, d\), of 2 or more"):
        distance(*map(torch.zeros, shapes))


# The adversary.


def test_reversal_keeps_values_and_flips_gradients():
    batch = features().requires_grad_()
    passed = adversary.reverse(batch, 0.3)
    assert torch.equal(passed, batch)
    (passed * features(seed=1)).sum().backward()
    assert torch.allclose(batch.grad, -0.3 * features(seed=1))


def test_the_ramp_is_that_of_the_paper():
    ramps = [adversary.ramp(progress) for progress in (0, 0.1, 0.5, 1)]
    assert ramps == pytest.approx([0, math.tanh(0.5), math.tanh(2.5), math.tanh(5)])


def test_features_learn_against_the_discriminator_which_learns_at_full_strength():
    discriminator = adversary.Discriminator(5)
    first = discriminator.layers[0].weight
    gradients = {}
    for strength in (-1.0, 0.0, 0.5):
        source, target = features().requires_grad_(), features(seed=1).requires_grad_()
        loss = adversary.adversarial_loss(discriminator, source, target, strength)
        gradients[strength] = torch.autograd.grad(loss, [source, target, first])
    for of_plain, of_zero, of_half in zip(*(gradients[strength][:2] for strength in (-1.0, 0.0, 0.5)), strict=True):
        assert of_plain.abs().max() > 0
        assert torch.allclose(of_half, -0.5 * of_plain)
        assert not of_zero.any()
    assert gradients[0.5][2].any() and torch.equal(gradients[0.5][2], gradients[0.0][2])


def test_the_loss_is_cross_entropy_with_equal_weight_of_the_domains():
    discriminator = adversary.Discriminator(5)
    source, target = features(), features(10, seed=1, shift=1.0)
    domains = torch.cat([torch.zeros(40), torch.ones(40)])
    expected = functional.binary_cross_entropy_with_logits(
        discriminator(torch.cat([source, target.repeat(4, 1)])), domains
    )
    assert adversary.adversarial_loss(discriminator, source, target, 1.0).item() == pytest.approx(expected.item())
    nn.init.zeros_(discriminator.layers[-1].weight), nn.init.zeros_(discriminator.layers[-1].bias)
    assert adversary.adversarial_loss(discriminator, source, target, 1.0).item() == pytest.approx(math.log(2))


# The objective.


class Domain:
    """Stands for a feed of images of 8 px: two clusters along the first; domain 1 is wider along two and shifted along two."""

    def __init__(self, domain):
        self.domain = domain

    def drawn(self, n, *key):
        generator = rng("toy", self.domain, *key)
        labels = torch.randint(2, (n,), generator=generator)
        images = torch.randn(n, 8, generator=generator)
        images[:, 0] += 4 * labels - 2
        images[:, 1:3] *= 1 + 2 * self.domain
        images[:, 3:5] += 3 * self.domain
        return images.view(n, 1, 1, 8), labels

    def batch(self, step, batch_size, label_smoothing, device):
        assert label_smoothing == 0.0 and device == CPU
        return self.drawn(batch_size, step)[0], "labels that nobody may look at"


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.body = nn.Sequential(nn.Flatten(), nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, WIDTH), nn.ReLU())
            self.head = nn.Linear(WIDTH, 2)
        self.seen = []

    def features(self, images):
        self.seen.append(images.detach())
        return self.body(images)

    def classify(self, features):
        return self.head(features)


def objective(kind, weight=1.0, smoothing=0.0, batch_size=64, **options):
    return Aligned(kind, Domain(1), weight, smoothing, batch_size, CPU, **{"features": WIDTH} | options)


def trained(kind, weight, seed, steps=300):
    network, loss = Network(), objective(kind, weight)
    optimiser = RECIPE.optimiser(network, loss)
    schedule = RECIPE.schedule(optimiser, steps)
    for step in range(steps):
        schedule.step_update(step)
        optimiser.zero_grad()
        loss(network, *Domain(0).drawn(RECIPE.batch_size, "source", seed, step), step, steps).backward()
        optimiser.step()
    return network


@torch.no_grad()
def judged(kind, weight, seeds=2):
    """Accuracy of fresh domain classifiers on features they were not fitted to, and of the networks on the source."""
    images, labels = Domain(0).drawn(1000, "test")
    others, domains = Domain(1).drawn(1000, "test")[0], np.repeat([0, 1], 1000)
    telling, accuracy = [], []
    for seed in range(seeds):
        with torch.enable_grad():
            network = trained(kind, weight, seed)
        source = network.features(images)
        both = torch.cat([source, network.features(others)]).numpy()
        fresh = LogisticRegression(max_iter=1000).fit(both[::2], domains[::2])
        telling.append(fresh.score(both[1::2], domains[1::2]))
        accuracy.append((network.classify(source).argmax(dim=1) == labels).float().mean())
    return np.mean(telling), np.mean(accuracy)


@pytest.fixture(scope="module")
def unaligned():
    return judged("coral", 0.0)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "weight"), [("coral", 100.0), ("mmd", 1.0), ("dann", 1.0)])
def test_training_with_alignment_makes_the_domains_hard_to_tell_apart(kind, weight, unaligned):
    telling, accuracy = judged(kind, weight)
    assert unaligned[0] > 0.8
    assert telling < unaligned[0] - 0.1
    assert accuracy > unaligned[1] - 0.02 > 0.9


@pytest.mark.parametrize(("kind", "distance"), [("coral", coral), ("mmd", mmd)])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_is_cross_entropy_plus_the_weighted_distance(kind, distance, smoothing):
    network, (inputs, labels) = Network(), Domain(0).drawn(32)
    source, target = network.body(inputs), network.body(Domain(1).drawn(64, 3)[0])
    plain = functional.cross_entropy(network.head(source), labels, label_smoothing=smoothing)
    loss = objective(kind, 0.7, smoothing)
    expected = plain + 0.7 * math.tanh(5 * 3 / 10) * distance(source, target)
    assert loss(network, inputs, labels, 3, 10).item() == pytest.approx(expected.item(), rel=1e-5)
    assert loss(network, inputs, labels, 0, 10).item() == pytest.approx(plain.item(), rel=1e-5)


def test_the_loss_with_an_adversary():
    network, (inputs, labels), loss = Network(), Domain(0).drawn(32), objective("dann", 0.7)
    source, target = network.body(inputs), network.body(Domain(1).drawn(64, 3)[0])
    expected = functional.cross_entropy(network.head(source), labels)
    expected = expected + adversary.adversarial_loss(loss.discriminator, source, target, 0.7 * math.tanh(1.5))
    aligned = loss(network, inputs, labels, 3, 10)
    assert aligned.item() == pytest.approx(expected.item(), rel=1e-5)
    gradients = [torch.autograd.grad(value, network.body[1].weight)[0] for value in (aligned, expected)]
    assert torch.allclose(*gradients, atol=1e-6)


def test_soft_targets_are_not_smoothed_again():
    network, (inputs, labels) = Network(), Domain(0).drawn(32)
    targets = 0.7 * functional.one_hot(labels, 2) + 0.3 / 2
    expected = functional.cross_entropy(network.head(network.body(inputs)), targets)
    assert objective("coral", 1.0, 0.5)(network, inputs, targets, 0, 10).item() == pytest.approx(expected.item())


def test_both_domains_go_through_the_network_as_one_batch():
    network, (inputs, labels) = Network(), Domain(0).drawn(32)
    objective("mmd", batch_size=16)(network, inputs, labels, 5, 10)
    (seen,) = network.seen
    assert torch.equal(seen, torch.cat([inputs, Domain(1).drawn(16, 5)[0]]))


def test_the_adversary_is_seeded_and_part_of_the_state():
    before = torch.random.get_rng_state()
    one, same, other = (objective("dann", seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), before)
    weights = [part.discriminator.layers[0].weight for part in (one, same, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    other.load_state_dict(one.state_dict())
    assert torch.equal(weights[0], weights[2])
    assert not objective("coral").state_dict() and not objective("mmd").state_dict()


def test_bad_settings_are_one_clear_line():
    with pytest.raises(FetalkitError, match="there is no alignment 'jan'; use one of: coral, mmd, dann"):
        objective("jan")
    with pytest.raises(FetalkitError, match="alignment dann: say how many features the classifier has"):
        objective("dann", features=None)
    for wrong in ({"weight": -1.0}, {"batch_size": 1}):
        with pytest.raises(FetalkitError, match="alignment coral: weight .* batch of .*; give a weight of at least 0"):
            objective("coral", **wrong)


# AdaBN.


def domain_images(n=150, size=16):
    """Speckle; the first half, as of another patient, is much brighter."""
    grey = np.random.default_rng(0).integers(0, 90, (n, size, size))
    grey[: n // 2] += 150
    return grey.astype(np.uint8)


def convolutions(norm):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        norm(4),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Conv2d(4, 4, 3),
        norm(4),
        nn.Flatten(),
        nn.LazyLinear(2),
    )


@pytest.mark.parametrize("norm", [nn.BatchNorm2d, lambda width: BatchNormAct2d(width, apply_act=False)])
@pytest.mark.parametrize("batch_size", [256, 40])
def test_adapted_layers_standardise_the_new_domain(norm, batch_size):
    network, images = convolutions(norm), domain_images()
    seen = {}
    for layer in (network[1], network[5]):
        layer.register_forward_hook(lambda layer, _, out: seen.update({layer: out}))

    def moments():
        network.eval()(torch.from_numpy(images)[:, None].float() / 255)
        return [(out.mean(dim=(0, 2, 3)), out.var(dim=(0, 2, 3))) for out in seen.values()]

    assert any((mean.abs() > 0.1).any() or (var < 0.5).any() for mean, var in moments())
    adabn.adapt(network, images, CPU, batch_size)
    for mean, var in moments():
        assert torch.allclose(mean, torch.zeros(4), atol=0.02)
        assert torch.allclose(var, torch.ones(4), atol=0.03), "neighbours share a batch, or dropout was on"


def test_adabn_changes_statistics_and_nothing_else():
    network = models.create("resnet10t", {"stem_width": 8}, 2, 32, 0)
    network.eval()
    network.network.layer1.train()
    before = copy.deepcopy(network)
    adabn.adapt(network, domain_images(20, 32), CPU)
    for (name, old), new in zip(before.state_dict().items(), network.state_dict().values(), strict=True):
        statistic = name.endswith(("running_mean", "running_var", "num_batches_tracked"))
        assert torch.equal(old, new) != statistic, name
    for old, new in zip(before.modules(), network.modules(), strict=True):
        assert old.training == new.training
        assert getattr(old, "momentum", None) == getattr(new, "momentum", None)
    assert all(parameter.grad is None for parameter in network.parameters())


def test_adabn_forgets_what_was_before_and_can_be_repeated():
    network, images = convolutions(nn.BatchNorm2d), domain_images()
    adabn.adapt(network, images, CPU, 40)
    once = copy.deepcopy(network.state_dict())
    adabn.adapt(network, images[:50], CPU)
    adabn.adapt(network, images, CPU, 40)
    assert all(torch.equal(once[name], tensor) for name, tensor in network.state_dict().items())


def test_modes_are_restored_after_an_error():
    network = convolutions(nn.BatchNorm2d).eval()
    with pytest.raises(RuntimeError):
        adabn.adapt(network, np.zeros((4, 2, 2), np.uint8), CPU)
    assert not any(module.training for module in network.modules())
    assert network[1].momentum == 0.1


def test_adabn_without_batch_normalisation_or_images_is_one_clear_line():
    vit = models.create("vit_tiny_patch16_224", dict(patch_size=8, embed_dim=24, depth=1, num_heads=2), 2, 32, 0)
    with pytest.raises(FetalkitError, match="AdaBN: this network has no batch normalisation to adapt; use another"):
        adabn.adapt(vit, domain_images(4, 32), CPU)
    with pytest.raises(FetalkitError, match="AdaBN: 1 images in batches of 256; statistics need 2 or more each"):
        adabn.adapt(convolutions(nn.BatchNorm2d), domain_images(1), CPU)
