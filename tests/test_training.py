"""Training ends with the same bits however often it is interrupted; augmentation, classifiers and arms do what they say."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from fetalkit import arms, classifiers
from fetalkit.augment import augment
from fetalkit.checkpoints import Checkpoint, replacing, rng
from fetalkit.errors import FetalkitError
from fetalkit.images import Labelled
from fetalkit.training import Recipe, fit, predict

RECIPE = Recipe(batch_size=8, learning_rate=1e-3, weight_decay=0.05, warmup_fraction=0.1, label_smoothing=0.0)
CPU = torch.device("cpu")


def two_planes(n=40, size=32):
    """Bright top or bright bottom, with noise."""
    random = np.random.default_rng(0)
    labels = np.arange(n) % 2
    images = random.integers(0, 60, (n, size, size))
    images[labels == 0, : size // 2] += 120
    images[labels == 1, size // 2 :] += 120
    return Labelled(images.astype(np.uint8), labels.astype(np.int64))


def model(seed=0):
    return classifiers.create("resnet10t", {"stem_width": 8}, 2, 32, seed)


def train(folder, steps=12, recipe=RECIPE, data=None, every=3):
    network = model()
    checkpoint = Checkpoint(Path(folder, "state"), "x", every=every)
    data = data or two_planes()
    curve, _ = fit(network, data, steps, recipe, seed=0, device=CPU, checkpoint=checkpoint, label="t", validation=data)
    return network, curve


def bits(network):
    return torch.cat([tensor.double().flatten() for tensor in network.state_dict().values()])


def test_it_learns(tmp_path):
    network, curve = train(tmp_path, steps=60)
    data = two_planes()
    assert (predict(network, data.images, CPU).argmax(axis=1) == data.labels).mean() > 0.95
    assert [point["step"] for point in curve] == [6, 12, 18, 24, 30, 36, 42, 48, 54, 60]
    assert curve[-1]["loss"] < curve[0]["loss"]


@pytest.mark.parametrize("killed_at", [4, 7, 11])
def test_sigkill_and_resume_gives_the_same_bits(tmp_path, killed_at):
    script = (
        "import os, signal, sys, torch; torch.set_num_threads(1); sys.path.insert(0, 'tests')\n"
        "from fetalkit import batches, training\n"
        "import test_training\n"
        "real = batches.indices\n"
        "def indices(n, b, step, seed):\n"
        f"    if step == {killed_at}: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return real(n, b, step, seed)\n"
        "training.batches.indices = indices\n"
        "test_training.train(sys.argv[1])\n"
    )
    root = Path(__file__).parents[1]
    killed = subprocess.run([sys.executable, "-c", script, tmp_path / "killed"], cwd=root, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert (tmp_path / "killed" / "state").exists()
    resumed, resumed_curve = train(tmp_path / "killed")
    undisturbed, curve = train(tmp_path / "undisturbed")
    assert torch.equal(bits(resumed), bits(undisturbed))
    assert resumed_curve == curve


def test_nan_loss_is_one_clear_line_and_keeps_the_last_state(tmp_path):
    wild = Recipe(batch_size=8, learning_rate=1e30, weight_decay=0.05, warmup_fraction=0.0, label_smoothing=0.0)
    with pytest.raises(FetalkitError, match=r"t: the loss is not a number at step \d+; lower classify.learning_rate"):
        train(tmp_path, recipe=wild, every=1)
    assert Checkpoint(tmp_path / "state", "x").load()["step"] >= 1


def test_a_checkpoint_of_another_run_is_ignored(tmp_path):
    Checkpoint(tmp_path / "state", "other").save({"step": 5})
    assert Checkpoint(tmp_path / "state", "x").load() is None


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x80\x02cposix\nsystem\n."])
def test_a_corrupt_checkpoint_is_ignored(tmp_path, content):
    (tmp_path / "state").write_bytes(content)
    assert Checkpoint(tmp_path / "state", "x").load() is None


def test_replacing_keeps_the_old_file_on_failure(tmp_path):
    (tmp_path / "file").write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "file") as temporary:
        temporary.write_text("new")
        raise ZeroDivisionError
    assert (tmp_path / "file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_replacing_a_folder(tmp_path):
    for content in ("old", "new"):
        with replacing(tmp_path / "folder") as temporary:
            temporary.mkdir()
            (temporary / "file").write_text(content)
    assert (tmp_path / "folder" / "file").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_clear_line(tmp_path):
    expected = pytest.raises(FetalkitError, match=r"file: cannot be written \(No space left on device\)")
    with expected, replacing(tmp_path / "file"), open("/dev/full", "w") as stream:
        stream.write("x" * 100_000)
    assert list(tmp_path.iterdir()) == []


def test_augmentation_is_seeded_and_keeps_shape_and_range():
    images = torch.rand(6, 1, 32, 32)
    one, same, other = (augment(images, rng("a", step)) for step in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert one.shape == images.shape
    assert one.min() >= 0 and one.max() <= 1


def test_augmentation_keeps_black_black():
    assert augment(torch.zeros(4, 1, 16, 16), rng(0)).max() < 1e-2


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("resnet10t", {}), ("vit_tiny_patch16_224", dict(patch_size=8, embed_dim=64, depth=2, num_heads=2))],
)
def test_classifiers_begin_with_the_same_weights(name, arguments):
    before = torch.random.get_rng_state()
    one, same, other = (classifiers.create(name, arguments, 4, 32, seed) for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(bits(one), bits(same))
    assert not torch.equal(bits(one), bits(other))
    assert one.eval()(torch.rand(2, 1, 32, 32)).shape == (2, 4)


def test_unknown_classifier():
    with pytest.raises(FetalkitError, match=r"timm has no model 'resnet10x'; some that it has: .*resnet"):
        classifiers.create("resnet10x", {}, 4, 32, 0)


def test_refused_arguments():
    with pytest.raises(FetalkitError, match="resnet10t cannot be made with {'wings': 2}"):
        classifiers.create("resnet10t", {"wings": 2}, 4, 32, 0)


def test_predictions_do_not_depend_on_batches():
    network, data = model(), two_planes()
    whole, parts = (predict(network, data.images, CPU, batch_size=size) for size in (64, 7))
    assert np.allclose(whole, parts, atol=1e-6)
    assert np.allclose(whole.sum(axis=1), 1, atol=1e-6)


def test_budgets_of_the_arms():
    """P steps on synthetic, N on real; the control with equal compute has P + N."""
    p, n = 30, 100
    spent = {arm: [(phase.source, phase.steps) for phase in arms.phases(arm, p, n)] for arm in arms.ARMS}
    assert spent == {
        "real": [("real", n)],
        "real-long": [("real", p + n)],
        "diffusion": [("diffusion", p), ("real", n)],
        "diffusion-novel": [("diffusion-novel", p), ("real", n)],
        "simulation": [("simulation", p), ("real", n)],
        "synthetic-only": [("diffusion", p)],
    }
    assert arms.generators(list(arms.ARMS)) == ["diffusion", "simulation"]
    assert arms.generators(["real", "diffusion-novel"]) == ["diffusion"]
    assert arms.derived(["diffusion", "diffusion-novel"]) == ["diffusion-novel"]
