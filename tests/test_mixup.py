"""Mixed images and mixed targets belong together, and numpy's global random numbers are left alone."""

import numpy as np
import pytest
import torch

from fetalkit.classifiers.mixup import mix
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.streams import rng

KINDS = ("mixup", "cutmix")
CLASSES = 4


def batch(n=6, size=64):
    """Random images; classes 0, 1, 2 in the first half and 3 in the second, so that partners differ."""
    labels = torch.where(torch.arange(n) < n // 2, torch.arange(n) % 3, 3)
    return torch.rand(n, 1, size, size, generator=rng("images")), labels


def shares(targets, labels):
    """λ of every image, read from its target (without label smoothing)."""
    return targets[torch.arange(len(labels)), labels]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_targets_are_distributions(kind, smoothing):
    images, labels = batch()
    for step in range(20):
        mixed, targets = mix(kind, images, labels, CLASSES, smoothing, (0, step))
        assert targets.shape == (6, CLASSES) and targets.dtype == torch.float32
        assert torch.allclose(targets.sum(dim=1), torch.ones(6))
        assert targets.min() >= smoothing / CLASSES - 1e-6
        assert mixed.shape == images.shape and mixed.min() >= 0 and mixed.max() <= 1


def test_mixup_is_the_convex_combination_with_the_mirrored_image():
    images, labels = batch()
    mixed, targets = mix("mixup", images, labels, CLASSES, 0.0, (0, 3))
    share = shares(targets, labels)
    assert torch.allclose(share, share[:1].expand(6)) and 0 < share[0] < 1, "λ is one number per batch"
    assert torch.allclose(mixed, share[0] * images + (1 - share[0]) * images.flip(0), atol=1e-6)
    one_hot = torch.eye(CLASSES)[labels]
    assert torch.allclose(targets, share[0] * one_hot + (1 - share[0]) * one_hot.flip(0))


def test_smoothing_moves_its_share_to_all_classes():
    images, labels = batch()
    plain, smooth = (mix("mixup", images, labels, CLASSES, smoothing, (0, 3))[1] for smoothing in (0.0, 0.2))
    assert torch.allclose(smooth, 0.8 * plain + 0.2 / CLASSES)


def test_cutmix_pastes_a_rectangle_whose_area_is_in_the_target():
    images, labels = batch()
    sizes = set()
    for step in range(20):
        mixed, targets = mix("cutmix", images, labels, CLASSES, 0.0, (0, step))
        pasted = mixed != images
        assert torch.equal(mixed[pasted], images.flip(0)[pasted])
        assert torch.allclose(1 - pasted.float().mean(dim=(1, 2, 3)), shares(targets, labels), atol=1e-6)
        rows, columns = pasted[0, 0].any(dim=1).sum(), pasted[0, 0].any(dim=0).sum()
        assert pasted[0, 0].sum() == rows * columns, "not a rectangle"
        sizes.add(int(rows * columns))
    assert len(sizes) > 10


def drawn(kind, n=600):
    images, labels = batch(2, 16)
    return [float(shares(mix(kind, images, labels, CLASSES, 0.0, (step,))[1], labels)[0]) for step in range(n)]


def test_lambda_of_mixup_is_from_beta_of_four_fifths():
    """The variance of Beta(a, a) is 1 / (4 (2 a + 1))."""
    measured = drawn("mixup")
    assert np.mean(measured) == pytest.approx(0.5, abs=0.04)
    assert np.var(measured) == pytest.approx(1 / (4 * 2.6), rel=0.12)


def test_lambda_of_cutmix_is_even_but_for_what_reaches_over_the_edge():
    """A rectangle loses a part of its area to the edges, so more of the image stays than the half of Beta(1, 1)."""
    assert 0.6 < np.mean(drawn("cutmix")) < 0.75


@pytest.mark.parametrize("kind", KINDS)
def test_the_key_decides_and_nothing_leaks(kind):
    images, labels = batch()
    before = images.clone()
    np.random.seed(1)  # noqa: NPY002
    following = np.random.rand(3)  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002
    torch_state = torch.random.get_rng_state()
    one, one_targets = mix(kind, images, labels, CLASSES, 0.0, (0, "mix", 5))
    assert np.array_equal(np.random.rand(3), following), "numpy's global generator was moved"  # noqa: NPY002
    assert torch.equal(torch.random.get_rng_state(), torch_state)
    assert torch.equal(images, before), "the input was changed"
    same, same_targets = mix(kind, images, labels, CLASSES, 0.0, (0, "mix", 5))
    assert torch.equal(one, same) and torch.equal(one_targets, same_targets)
    assert not torch.equal(one, mix(kind, images, labels, CLASSES, 0.0, (0, "mix", 6))[0])


def test_numpy_is_put_back_after_an_error():
    images, labels = batch()
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    with pytest.raises(RuntimeError):
        mix("mixup", images, labels + CLASSES, CLASSES, 0.0, (0,))
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


def test_an_odd_batch_is_one_clear_line():
    images, labels = batch(7)
    with pytest.raises(
        FetalkitError, match="mixup: 7 images do not form pairs; make classify.batch_size an even number"
    ):
        mix("mixup", images, labels, CLASSES, 0.0, (0,))


def test_an_unknown_kind():
    with pytest.raises(FetalkitError, match="there is no mixing 'cutout'; use mixup or cutmix"):
        mix("cutout", *batch(), CLASSES, 0.0, (0,))
