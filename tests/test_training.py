"""Training ends with the same bits however often it is interrupted; augmentation, classifiers and arms do what they say."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import timm
import torch
from safetensors import SafetensorError
from torch.nn import functional

from fetalkit.classifiers import gradcam, loader, models, pretrained, weights
from fetalkit.classifiers.loader import Feed
from fetalkit.classifiers.trainer import CrossEntropy, Recipe, fit, predict
from fetalkit.classifiers.transforms import augment
from fetalkit.config import arms, params, runs
from fetalkit.data.images import Labelled
from fetalkit.utils import imagenet
from fetalkit.utils.checkpoints import Checkpoint
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.files import replacing
from fetalkit.utils.streams import rng

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
    return models.create("resnet10t", {"stem_width": 8}, 2, 32, seed)


def train(folder, steps=12, recipe=RECIPE, data=None, every=3, objective=None):
    network = model()
    checkpoint = Checkpoint(Path(folder, "state"), "x", every=every)
    data = data or two_planes()
    feed = Feed(data, 2, seed=0)
    options = dict(device=CPU, checkpoint=checkpoint, label="t", validation=data, objective=objective)
    curve, _ = fit(network, feed, steps, recipe, **options)
    return network, curve


def bits(network):
    return torch.cat([tensor.double().flatten() for tensor in network.state_dict().values()])


@pytest.mark.slow
def test_it_learns(tmp_path):
    network, curve = train(tmp_path, steps=60)
    data = two_planes()
    assert (predict(network, data.images, CPU).argmax(axis=1) == data.labels).mean() > 0.95
    assert [point["step"] for point in curve] == [6, 12, 18, 24, 30, 36, 42, 48, 54, 60]
    assert curve[-1]["loss"] < curve[0]["loss"]


def test_the_learning_rate_rises_and_falls_and_norms_and_biases_do_not_decay():
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 8, 3), torch.nn.BatchNorm2d(8))
    optimiser = RECIPE.optimiser(network, CrossEntropy())
    decayed = {
        id(parameter) for group in optimiser.param_groups if group["weight_decay"] for parameter in group["params"]
    }
    assert decayed == {id(network[0].weight)}
    schedule, rates = RECIPE.schedule(optimiser, 100), []
    for step in range(100):
        schedule.step_update(step)
        rates += {group["lr"] for group in optimiser.param_groups}
    assert len(rates) == 100  # the same in all groups
    assert rates[:10] == pytest.approx([1e-3 * (step + 1) / 11 for step in range(10)])
    assert rates[10:] == pytest.approx([0.5e-3 * (1 + np.cos(np.pi * step / 90)) for step in range(90)])


@pytest.mark.slow
@pytest.mark.parametrize("killed_at", [4, 11])
def test_sigkill_and_resume_gives_the_same_bits(tmp_path, killed_at):
    script = (
        "import os, signal, sys, torch; torch.set_num_threads(1); sys.path.insert(0, 'tests')\n"
        "from fetalkit.data import sampling\n"
        "import test_training\n"
        "real = sampling.indices\n"
        "def indices(n, b, step, seed):\n"
        f"    if step == {killed_at}: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return real(n, b, step, seed)\n"
        "sampling.indices = indices\n"
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


class Scaled(CrossEntropy):
    """An objective that learns a temperature, and can be stopped."""

    def __init__(self, stop=None):
        super().__init__()
        self.heat, self.stop = torch.nn.Parameter(torch.ones(())), stop

    def forward(self, model, inputs, targets, step, steps):
        if step == self.stop:
            raise InterruptedError
        return self.of_logits(self.heat * model.classify(model.features(inputs)), targets)


@pytest.mark.slow
def test_an_objective_is_trained_and_resumed_with_the_network(tmp_path):
    with pytest.raises(InterruptedError):
        train(tmp_path / "stopped", objective=Scaled(stop=7))
    resumed, undisturbed = Scaled(), Scaled()
    network, curve = train(tmp_path / "stopped", objective=resumed)
    other, other_curve = train(tmp_path / "undisturbed", objective=undisturbed)
    assert resumed.heat.item() != 1.0 and torch.equal(resumed.heat, undisturbed.heat)
    assert torch.equal(bits(network), bits(other)) and curve == other_curve


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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "arguments"),
    [("resnet10t", {}), ("vit_tiny_patch16_224", dict(patch_size=8, embed_dim=64, depth=2, num_heads=2))],
)
def test_classifiers_begin_with_the_same_weights(name, arguments):
    before = torch.random.get_rng_state()
    one, same, other = (models.create(name, arguments, 4, 32, seed) for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(bits(one), bits(same))
    assert not torch.equal(bits(one), bits(other))
    assert one.eval()(torch.rand(2, 1, 32, 32)).shape == (2, 4)


@pytest.mark.parametrize(
    ("name", "arguments", "weights", "message"),
    [
        ("resnet10x", {}, False, "timm has no model 'resnet10x'; did you mean resnet10t, "),
        (
            "mobilenetv3_smal_050",
            {},
            False,
            "timm has no model 'mobilenetv3_smal_050'; did you mean mobilenetv3_small_050",
        ),
        ("resnet10t.c3_in2k", {}, False, "timm has no model 'resnet10t.c3_in2k'; did you mean resnet10t.c3_in1k?"),
        ("botnet50ts_256", {}, True, "no pretrained weights of botnet50ts_256; set pretrained: false"),
        (
            "resnet10t",
            {"wings": 2},
            False,
            "resnet10t cannot be made with {'wings': 2}: .*unexpected keyword argument 'wings'",
        ),
        ("vit_tiny_patch16_224", {"embed_dim": 65, "num_heads": 2}, False, "dim should be divisible by num_heads"),
    ],
)
def test_what_timm_refuses_is_one_clear_line_before_anything_is_made(name, arguments, weights, message):
    for refuse in (lambda: models.check(name, arguments, weights, size=32), lambda: made(name, arguments, weights)):
        with pytest.raises(FetalkitError, match=message) as error:
            refuse()
        assert str(error.value).startswith("classify.classifiers: ") and "\n" not in str(error.value)


def made(name, arguments, weights):
    return models.create(name, arguments, 2, 32, 0, weights=weights)


@pytest.mark.parametrize(
    ("name", "arguments", "layer"),
    [
        ("resnet10t", {"channels": [32, 64, 128, 256]}, "layer1.0.conv1.weight"),
        ("vit_tiny_patch16_224", {"depth": 4}, "blocks.4.norm1.weight"),
        ("tf_efficientnet_lite0", {"drop_path_rate": 0.1}, ""),
        ("vit_tiny_patch16_224", {"patch_size": 8}, ""),  # timm resizes these weights
    ],
)
def test_pretrained_weights_that_do_not_fit_the_arguments_are_told_before_they_are_fetched(name, arguments, layer):
    models.check(name, arguments, size=64)
    if not layer:
        models.check(name, arguments, True, size=64)
        return
    with pytest.raises(FetalkitError) as error:
        models.check(name, arguments, True, size=64)
    assert f"the pretrained weights of {name} do not fit {arguments} ({layer} and " in str(error.value)
    assert str(error.value).endswith("leave these arguments out, or set pretrained: false")


def test_weights_that_cannot_be_fetched_are_one_clear_line(monkeypatch, tmp_path):
    """Without a network, and with none of them here."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(FetalkitError, match=r"mobilenetv3_small_050 cannot be made with \{\}: ") as error:
        models.create("mobilenetv3_small_050", {}, 2, 32, 0, weights=True)
    assert "\n" not in str(error.value)


def test_a_network_that_cannot_take_the_size_is_told_before_training():
    with pytest.raises(
        FetalkitError, match=r"efficientformer_l1 does not take images of 64 px \(.*\); give it input_size: 224"
    ):
        models.check("efficientformer_l1", {}, size=64)
    models.check("efficientformer_l1", {}, size=224)


ASKED_FOR = (
    ("mobilenetv3_small_050", True),
    ("resnet10t", True),
    ("resnet10t.c3_in1k", True),
    ("convnext_atto", True),
    ("vit_tiny_patch16_224", False),
    ("densenet121", True),
    ("regnety_002", True),
    ("mobilevit_xxs", True),
    ("levit_128s", False),
    ("deit_tiny_distilled_patch16_224", False),
    ("coat_lite_tiny", False),
)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "maps"), ASKED_FOR)
def test_networks_that_people_ask_for(tmp_path, name, maps):
    """Made, one step, features, stored and read again, Grad-CAM or a word that there is none."""
    size = 64
    models.check(name, {}, size=size)
    network = models.create(name, {}, 2, size, 0)
    images, labels = torch.rand(4, 1, size, size, generator=rng(0)), torch.tensor([0, 1, 0, 1])
    functional.cross_entropy(network(images), labels).backward()
    network.eval()
    with torch.inference_mode():
        logits = network(images)
        assert logits.shape == (4, 2) and torch.allclose(network.classify(network.features(images)), logits, atol=1e-4)
    weights.save(network, tmp_path / "a.safetensors")
    other = models.create(name, {}, 2, size, 1).eval()
    weights.load(other, tmp_path / "a.safetensors")
    with torch.inference_mode():
        assert torch.equal(other(images), logits)
    assert gradcam.has_map(network, size) == maps
    if maps:
        grey = (images[:, 0] * 255).byte().numpy()
        assert gradcam.gradcam(network, grey, labels.numpy(), CPU).shape == (4, size, size)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("resnet10t", {"stem_width": 8}),
        ("resnet10t.c3_in1k", {}),
        ("tf_efficientnet_lite0", {}),
        ("vit_tiny_patch16_224", {"patch_size": 8, "embed_dim": 64, "depth": 6, "num_heads": 2}),
        ("coat_lite_tiny", {}),
        ("mobilevit_xxs", {}),
    ],
)
def test_a_check_takes_no_time_and_no_random_numbers(name, arguments):
    state = torch.random.get_rng_state()
    started = time.process_time()
    models.check(name, arguments, size=64)
    assert time.process_time() - started < 3  # of this process: others may be at work on the machine
    assert torch.equal(torch.random.get_rng_state(), state)


def test_predictions_do_not_depend_on_batches():
    network, data = model(), two_planes()
    whole, parts = (predict(network, data.images, CPU, batch_size=size) for size in (64, 7))
    assert np.allclose(whole, parts, atol=1e-6)
    assert np.allclose(whole.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize(("p", "n"), [(30, 100), (1, 7)])
def test_budgets_of_the_arms(p, n):
    """N steps in the control of the paper, P on synthetic images alone, and P + N in every other arm whose steps are given."""
    given = {name: arm for name, arm in params.load("phantom").arms.items() if not arm.compute_of}
    planned = {name: arms.phases(arm, p, n, lambda other: 0) for name, arm in given.items()}
    for arm, phases in planned.items():
        wanted = {"real": n, "synthetic-only": p}.get(arm, p + n)
        assert sum(phase.steps for phase in phases) == wanted, arm
        if len(phases) == 2:
            assert [phase.steps for phase in phases] == [p, n]
            assert (phases[1].source, phases[1].synthetic) == ("real", "")
        assert all(0 < phase.share < 1 for phase in phases if phase.synthetic)
    assert {arm for arm, phases in planned.items() if len(phases) == 2} == {
        "diffusion", "diffusion-phantoms", "diffusion-guided", "diffusion-unlabelled", "diffusion-novel", "diffusion-ceiling",
        "gan", "interpolation", "simulation", "simulation-matched", "replay", "pseudo-label", "diffusion-low-share",
        "guided-low-share", "phantoms-and-guided", "simulation-fourier", "other-cohort", "diffusion-then-fixmatch",
        "simulation-then-fixmatch", "guided-then-fixmatch", "guided-fourier",
    }  # fmt: skip


def test_what_an_arm_needs():
    settings = params.load("phantom")
    assert settings.arms["real+ultrasound"].sources == []
    assert settings.arms["diffusion-mixed-25"].sources == ["diffusion"]
    assert runs.stored(settings, "diffusion", "10") == ("diffusion", "10")
    assert runs.stored(settings, "diffusion-novel", "10") == ("diffusion-novel", "10")
    assert runs.generator_of(settings, "diffusion-novel") == "diffusion"
    # The one arm whose generator may see more than its run.
    assert runs.stored(settings, "diffusion-ceiling", "10") == ("diffusion", "all")


def feed(**changes):
    data = two_planes()
    return Feed(**(dict(data=data, n_classes=2, seed=0) | changes))


def test_a_mixed_batch_has_its_share_of_further_images():
    data = two_planes()
    white = Labelled(np.full_like(data.images, 255), data.labels)
    inputs, targets = feed(beside=white, share=0.25).batch(0, 8, 0.0, CPU)
    assert inputs.shape == (8, 1, 32, 32) and targets.shape == (8,)
    assert [bool(image.mean() > 0.5) for image in inputs] == [False] * 6 + [True] * 2
    # The real images come in the order of an arm with batches of six.
    assert torch.equal(targets[:6], feed().batch(0, 6, 0.0, CPU)[1])


def test_mixing_gives_soft_targets_and_is_a_function_of_the_step():
    one, same, other = (feed(mixing="mixup").batch(step, 8, 0.1, CPU) for step in (3, 3, 4))
    assert one[1].shape == (8, 2) and torch.allclose(one[1].sum(dim=1), torch.ones(8))
    assert torch.equal(one[0], same[0]) and torch.equal(one[1], same[1])
    assert not torch.equal(one[0], other[0])


@pytest.mark.slow
@pytest.mark.parametrize("changes", [dict(mixing="cutmix"), dict(augmentation="ultrasound")])
def test_every_kind_of_feed_resumes_with_the_same_bits(tmp_path, changes):
    def trained(folder, interrupt):
        network, data = model(), two_planes()
        checkpoint = Checkpoint(Path(folder, "state"), "x", every=2)
        arguments = dict(device=CPU, checkpoint=checkpoint, label="t")
        if interrupt:
            saved, count = checkpoint.save, []
            with (
                pytest.raises(KeyboardInterrupt),
                mock.patch.object(
                    checkpoint, "save", lambda state: (saved(state), count.append(1), interrupted(len(count)))
                ),
            ):
                fit(network, feed(**changes), 6, RECIPE, **arguments)
            network = model()
        fit(network, feed(**changes), 6, RECIPE, validation=data, **arguments)
        return bits(network)

    def interrupted(saves):
        if saves == 2:
            raise KeyboardInterrupt

    assert torch.equal(trained(tmp_path / "a", False), trained(tmp_path / "b", True))


@pytest.mark.slow
def test_a_pretrained_classifier_begins_with_known_weights():
    one, other = (models.create(imagenet.NAME, {}, 4, 64, seed, weights=True) for seed in (0, 1))
    last = one.network.get_classifier()
    assert torch.equal(one.network.conv_stem.weight, other.network.conv_stem.weight)
    assert not torch.equal(last.weight, other.network.get_classifier().weight)
    assert (one.mean, one.std) == (0.5, 0.5)
    logits = one.eval()(torch.rand(8, 1, 64, 64, generator=rng(0)))
    assert logits.shape == (8, 4)
    # Before anything is learnt, the loss is that of chance; timm's own last layer begins at nine times that.
    assert first_loss(logits) == pytest.approx(np.log(4), rel=0.05)


def first_loss(logits: torch.Tensor) -> float:
    return -functional.log_softmax(logits.detach(), dim=1).mean().item()


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "levit_128s", "deit_tiny_distilled_patch16_224"])
def test_every_pretrained_classifier_begins_with_a_new_last_layer_of_small_weights(monkeypatch, name):
    """The weights would be downloaded: a network without them stands in. Two of these have two last layers."""
    make, images = timm.create_model, torch.rand(8, 1, 64, 64, generator=rng(0))
    monkeypatch.setattr(timm, "create_model", lambda name, pretrained, **options: make(name, **options))
    network = models.create(name, {}, 4, 64, 0, weights=True)
    for head in pretrained.heads(network.network):
        assert float(pretrained.last_layer(head).weight.detach().std()) == pytest.approx(0.01, rel=0.1)
    assert first_loss(network.eval()(images)) == pytest.approx(np.log(4), rel=0.05)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("resnet10t", {"stem_width": 8}),
        ("vit_tiny_patch16_224", {"patch_size": 8, "embed_dim": 24, "depth": 1, "num_heads": 2}),
        ("tf_efficientnet_lite0", {}),
        ("deit_tiny_distilled_patch16_224", {"depth": 1}),
        ("levit_128s", {}),
    ],
)
def test_features_are_what_the_last_layer_sees(name, arguments):
    network = models.create(name, arguments, 3, 32, seed=0).eval()
    images = torch.rand(2, 1, 32, 32, generator=rng(0))
    features = network.features(images)
    assert features.shape == (2, network.n_features)
    assert torch.allclose(network.classify(features), network(images), atol=1e-6)


def test_images_are_resized_inside_the_network():
    network = models.create("resnet10t", {"stem_width": 8}, 2, 32, 0, input_size=48)
    assert network.prepare(torch.rand(2, 1, 32, 32)).shape == (2, 1, 48, 48)


# --- weights in files


@pytest.mark.slow
@pytest.mark.parametrize("name", ["coat_lite_tiny", "resnet10t", "levit_128s"])
def test_weights_come_back_from_their_file(tmp_path, name):
    """The modules of coat_lite_tiny share tensors, which safetensors alone refuses."""
    one, other = (models.create(name, {}, 2, 32, seed).eval() for seed in (0, 1))
    weights.save(one, tmp_path / "new" / "a.safetensors")
    weights.load(other, tmp_path / "new" / "a.safetensors")
    images = torch.rand(2, 1, 32, 32, generator=rng(0))
    assert torch.equal(bits(one), bits(other)) and torch.equal(one(images), other(images))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.safetensors"]


def test_weights_that_cannot_be_read_are_one_clear_line(tmp_path):
    path = tmp_path / "a.safetensors"
    with pytest.raises(FetalkitError, match=r"a.safetensors: missing or damaged \(No such file"):
        weights.load(model(), path)
    weights.save(model(), path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(FetalkitError, match=r"a.safetensors: missing or damaged \(.*\); delete it"):
        weights.load(model(), path)
    weights.save(models.create("resnet10t", {"stem_width": 16}, 2, 32, 0), path)
    with pytest.raises(FetalkitError, match="a.safetensors: weights of another network than Normalised") as error:
        weights.load(model(), path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "error",
    [
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
        RuntimeError("pos 1"),
    ],
)
def test_a_full_disk_that_a_library_hides_is_one_clear_line(tmp_path, monkeypatch, error):
    """safetensors and torch raise errors of their own where files of Python raise OSError."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: mock.Mock(free=0))
    expected = pytest.raises(FetalkitError, match=r"file: cannot be written \(the disk is full\); free some space")
    with expected, replacing(tmp_path / "file"):
        raise error
    assert list(tmp_path.iterdir()) == []


def test_an_error_while_writing_is_not_put_down_to_a_disk_with_space(tmp_path):
    with pytest.raises(RuntimeError, match="pos 1"), replacing(tmp_path / "file"):
        raise RuntimeError("pos 1")


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    expected = pytest.raises(FetalkitError, match=r"new: cannot be written \(.*\); free some space or check rights")
    with expected, replacing(tmp_path / "file" / "new"):
        pass


# --- augmentations and mixings by name


@pytest.mark.slow
def test_a_training_follows_from_the_augmentations_that_it_uses_alone():
    package = "fetalkit.classifiers"
    assert loader.modules(feed()) == [f"{package}.transforms"]
    assert loader.modules(feed(augmentation="ultrasound", mixing="cutmix")) == [
        f"{package}.ultrasound_transforms", f"{package}.mixup"
    ]  # fmt: skip
    script = (
        "import sys, fetalkit.classifiers.loader; print([name for name in sys.modules if 'kit.classifiers.' in name])"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "['fetalkit.classifiers.loader']"


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "hospital_augmentation.py").write_text(
        "def darker(images, generator):\n    return images / 2\n"
        "def first(images, labels, n_classes, label_smoothing, key):\n"
        "    return images, (labels[:, None] == 0).float().expand(-1, n_classes) / n_classes\n"
    )
    yield "hospital_augmentation"
    sys.modules.pop("hospital_augmentation", None)


def test_augmentations_and_mixings_from_outside_the_package(own):
    given = feed(augmentation=f"{own}:darker", mixing=f"{own}:first")
    inputs, targets = given.batch(0, 8, 0.0, CPU)
    assert inputs.max() <= 0.5 and targets.shape == (8, 2) and set(targets.flatten().tolist()) <= {0.0, 0.5}
    assert loader.modules(given) == [own, own]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "strong",
            "there is no augmentation 'strong'; use standard, multi-scale, ultrasound, or your own as package.mod",
        ),
        ("no_such_package:strong", "augmentation 'no_such_package:strong' cannot be imported .*; correct its name or"),
        ("fetalkit.classifiers.transforms:strong", "augmentation '.*:strong' cannot be imported"),
    ],
)
def test_an_unknown_augmentation_is_one_clear_line(name, message):
    with pytest.raises(FetalkitError, match=message):
        feed(augmentation=name).batch(0, 8, 0.0, CPU)
