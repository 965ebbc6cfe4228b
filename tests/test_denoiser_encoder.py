"""A classifier that is the way down of the denoiser begins with its weights, and sees what it has seen."""

import math

import numpy as np
import pytest
import small_study
import torch
from torch.nn import functional

from fetalkit.classifiers import denoiser_encoder, models, own, trainer
from fetalkit.classifiers.gradcam import gradcam
from fetalkit.classifiers.loader import as_input
from fetalkit.config import arms, beginnings, consistency, params, runs, sets
from fetalkit.config.params import Block, Classifier
from fetalkit.config.runs import Run
from fetalkit.data.study import Study
from fetalkit.experiments import building, classification, compute, outputs
from fetalkit.experiments.arm_phases import Material
from fetalkit.experiments.phase_cache import PhaseCache
from fetalkit.generators.diffusion.generator import DiffusionGenerator
from fetalkit.utils import parallel, paths, provenance
from fetalkit.utils.checkpoints import Checkpoint
from fetalkit.utils.errors import FetalkitError

SHAPE = {"unshuffle": 2, "channels": [8, 32], "attention": [0, 1], "blocks": 2}
CPU = torch.device("cpu")
RUN = Run("diffusion-encoder", "encoder", "all", 0)


@pytest.fixture
def study(elsewhere):
    """A study with one run per arm, whose generator has random weights everywhere, as after a long training."""
    whole = small_study.trainable()
    settings = whole.params
    spec = settings.generators["diffusion"]
    training = type(spec.training).model_validate(SHAPE | {"attention": [False, True], "steps": 1})
    alone = {"sampling": type(spec.sampling)(guidance=1.0), "budget": None, "stopping": None}
    spec = spec.model_copy(update={"training": training} | alone)
    block = Block(arms=["real", "real-long", "diffusion-encoder"], shots=["all"], classifiers=["encoder"])
    classify = settings.classify.model_copy(
        update={
            "arms": ["real", "real-long"],
            "further": [block],
            "classifiers": settings.classify.classifiers
            | {"encoder": Classifier(model="denoiser_encoder", arguments=SHAPE, everywhere=False)},
        }
    )
    update = {"classify": classify, "generators": settings.generators | {"diffusion": spec}}
    study = Study("phantom", settings.model_copy(update=update))
    write_generator(study, "one")
    return study


def write_generator(study: Study, fingerprint: str, std: float = 0.2):
    real = study.train("all", 0)
    spec = study.params.generators["diffusion"]
    made = DiffusionGenerator(study.planes, study.params.images.image_size, spec.training, device="cpu")
    made.fit(real.images, real.labels, seed=0)
    torch.manual_seed(0)
    for parameter in made.denoiser.parameters():
        torch.nn.init.normal_(parameter, std=std)
    folder = paths.data("phantom", "generators", "diffusion-kall-seed0")
    made.save(folder)
    (folder / outputs.FINGERPRINT).write_text(fingerprint)
    return folder


def untrained(study: Study):
    settings = study.params
    return building.classifier(settings.classify, "encoder", len(study.planes), settings.images.image_size, 0)


def phases(study: Study, arm: str):
    planned = arms.phases(study.params.arms[arm], 3, 3, len)
    return Material(study, Run(arm, "encoder", "all", 0), *2 * [None]).phases(planned)


def test_it_computes_what_the_way_down_of_the_denoiser_computes(study):
    model, before = untrained(study), untrained(study)
    phases(study, "diffusion-encoder")[0].initial(model)
    made = DiffusionGenerator.load(paths.data("phantom", "generators", "diffusion-kall-seed0"), device="cpu")
    images = study.train("all", 0).images[:3]
    sigma = denoiser_encoder.SIGMA
    seen = made.scale.standardised(images, CPU) / math.hypot(sigma, 0.5)
    no_class = torch.full((3,), len(study.planes))
    with torch.no_grad():
        conditions = made.denoiser.conditions(torch.full((3,), math.log(sigma) / 4), no_class, None)
        maps = made.denoiser.encoder(seen, conditions)[-1]
        expected = functional.silu(functional.group_norm(maps, denoiser_encoder.GROUPS)).mean(dim=(2, 3))
        inputs = as_input(images, CPU)
        assert torch.allclose(model.features(inputs), expected, rtol=1e-4, atol=1e-5)
        assert (model(inputs) - before(inputs)).abs().max() > 0.01, "with random weights it says something else"
    assert torch.equal(model.network.head.weight, before.network.head.weight), "the last layer is new"


def test_random_weights_see_pixels_at_the_same_scale(study):
    pretrained, control, before = (untrained(study) for _ in range(3))
    phases(study, "diffusion-encoder")[0].initial(pretrained)
    phases(study, "real-long")[0].initial(control)
    assert not torch.equal(pretrained.network.encoder.stem.weight, control.network.encoder.stem.weight)
    for name, weight in control.state_dict().items():
        assert torch.equal(weight, (pretrained if "pixel" in name else before).state_dict()[name]), name
    real = as_input(study.train("all", 0).images, CPU)
    seen = control.prepare(real) * control.network.pixel_scale + control.network.pixel_shift
    assert abs(float(seen.mean())) < 1e-4 and float(seen.std()) == pytest.approx(0.5 / math.hypot(0.05, 0.5), rel=1e-3)


def test_it_is_used_as_a_timm_model_is():
    models.check(own.known("denoiser_encoder"), SHAPE, size=32)
    model = models.create("denoiser_encoder", SHAPE, 3, 32, seed=1)
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32), np.uint8)
    inputs = as_input(images, CPU)
    assert model.network.forward_features(model.prepare(inputs)).shape == (2, 32, 8, 8)
    assert model.n_features == model.network.num_features == 32
    assert torch.allclose(model.classify(model.features(inputs)), model(inputs), atol=1e-6)
    again = models.create("denoiser_encoder", SHAPE, 3, 32, seed=1)
    assert torch.equal(again(inputs), model(inputs))
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    maps = gradcam(model, images, np.array([0, 2]), CPU)
    assert maps.shape == (2, 32, 32) and maps.max() == 1


@pytest.mark.parametrize(
    ("change", "size", "words"),
    [
        ({"sigma": 0}, 32, "sigma = 0: must be positive"),
        ({"depth": 3}, 32, "unexpected keyword argument 'depth'"),
        ({"channels": [8, 36]}, 32, "cannot be made with|does not take images"),
        ({"unshuffle": 8}, 36, "does not take images of 36 px"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(change, size, words):
    with pytest.raises(FetalkitError, match=words):
        models.check(own.known("denoiser_encoder"), SHAPE | change, size=size)


@pytest.mark.slow
def test_other_processes_know_it(study):
    asked = dict(training=study.params.classify, name="encoder", n_classes=2, image_size=32, seed=0)
    made = parallel.run(building.classifier, [asked, asked], 2)
    assert torch.equal(made[0].network.head.weight, made[1].network.head.weight)


def prints(study: Study, arm: str, place: str = "once"):
    cache = PhaseCache("phantom", paths.work("phantom", place))
    return classification.train("phantom", study.params, cache, Run(arm, "encoder", "all", 0))


def test_a_training_follows_from_the_generator_that_it_begins_with(study, monkeypatch):
    model, outcome = prints(study, "diffusion-encoder")
    control, other = prints(study, "real-long")
    assert not torch.equal(model.network.encoder.stem.weight, control.network.encoder.stem.weight)
    with monkeypatch.context() as patch:
        patch.setattr(denoiser_encoder, "begin_with", lambda *of: pytest.fail("a finished phase begins with nothing"))
        again, same = prints(study, "diffusion-encoder")
    assert same.trainings == outcome.trainings
    assert torch.equal(again.network.head.weight, model.network.head.weight)
    write_generator(study, "two", std=0.1)
    changed, another = prints(study, "diffusion-encoder")
    assert another.trainings != outcome.trainings
    assert not torch.equal(changed.network.encoder.stem.weight, model.network.encoder.stem.weight)
    assert prints(study, "real-long")[1].trainings == other.trainings


def test_its_code_is_followed_where_it_is_used_alone(study, monkeypatch):
    asked, made_by = [], provenance.fingerprint
    monkeypatch.setattr(
        provenance, "fingerprint", lambda modules, *of: (asked.append(set(modules)), made_by(modules, *of))[1]
    )
    prints(study, "real")
    assert denoiser_encoder.__name__ in asked[-1]
    classification.train(
        "phantom", study.params, PhaseCache("phantom", paths.work("x")), Run("real", "resnet", "all", 0)
    )
    assert denoiser_encoder.__name__ not in provenance.closure(tuple(sorted(asked[-1])))


def test_an_interrupted_training_ends_with_the_same_bits(study, monkeypatch):
    whole, _ = prints(study, "diffusion-encoder")
    step = trainer._Training._step

    def killed(self, number):
        if number == 2:
            raise KeyboardInterrupt
        return step(self, number)

    monkeypatch.setattr(Checkpoint, "due", lambda self, done: True)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(trainer._Training, "_step", killed)
        prints(study, "diffusion-encoder", "again")
    resumed, _ = prints(study, "diffusion-encoder", "again")
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name]), name


def test_no_bit_moves_when_everything_hidden_is_changed(study):
    before, _ = prints(study, "diffusion-encoder")
    images = np.load(paths.data("phantom", "images", "images.npy"))
    rows = np.flatnonzero(study.table.part == "test")
    images[rows] = 255 - images[rows]
    np.save(paths.data("phantom", "images", "images.npy"), images)
    after, _ = prints(Study("phantom", study.params), "diffusion-encoder", "again")
    assert all(torch.equal(weight, after.state_dict()[name]) for name, weight in before.state_dict().items())


def test_the_study_trains_the_generator_and_needs_no_set_of_it(study):
    settings = study.params
    assert runs.begun_with(settings) == [("diffusion", "all", 0)] and runs.stored_sets(settings) == []
    assert dict(generator="diffusion", k="all", seed=0) in sets.jobs(settings)
    outcomes = classification.train_all("phantom", settings)
    assert [outcome.error for outcome in outcomes] == [""] * 5
    assert {run.arm for run in runs.all_runs(settings) if run.classifier == "resnet"} == {"real", "real-long"}
    (paths.data("phantom", "generators", "diffusion-kall-seed0", "fetalkit.json")).unlink()
    paths.data("phantom", "generators").rename(paths.data("phantom", "away"))
    with pytest.raises(FetalkitError, match="diffusion-kall-seed0: not found; run 04_generator first"):
        classification.train_all("phantom", settings)


@pytest.mark.slow
def test_the_training_of_the_generator_is_part_of_the_cost(study):
    begun, control = (
        compute.of_run(study, Run(arm, "encoder", "all", 0)) for arm in ("diffusion-encoder", "real-long")
    )
    assert begun["generator"] == compute.of_generator(study, "diffusion", "all", 0) > 0 and begun["drawing"] == 0
    assert begun["classifier"] == control["classifier"] == control["total"]


def test_a_damaged_generator_is_said_in_one_line(study):
    (paths.data("phantom", "generators", "diffusion-kall-seed0") / "denoiser" / "config.json").write_text("{")
    with pytest.raises(FetalkitError, match="not a complete generator .*; train it again"):
        phases(study, "diffusion-encoder")[0].initial(untrained(study))


def test_what_does_not_fit_is_refused_before_anything_runs(study):
    settings, given = study.params, study.params.classify
    assert next(iter([*beginnings.problems(settings), *consistency._limited(settings)]), None) is None

    def lines(classify=None, arm=None, **changes):
        begun = {"diffusion-encoder": settings.arms["diffusion-encoder"].model_copy(update=arm or {})}
        update = {"classify": given.model_copy(update=classify or {}), "arms": settings.arms | begun} | changes
        of = settings.model_copy(update=update)
        return " | ".join([*beginnings.problems(of), *consistency._arms(of), *consistency._limited(of)])

    other = given.classifiers["encoder"].model_copy(update={"arguments": SHAPE | {"blocks": 1}})
    assert (
        "classifier encoder is not the way down of its denoiser, which is model: denoiser_encoder with arguments "
        in (lines({"classifiers": given.classifiers | {"encoder": other}}))
    )
    assert "classifier resnet is not the way down" in lines({"arms": [*given.arms, "diffusion-encoder"]})
    begins = {"phases": [settings.arms["diffusion-encoder"].phases[0].model_copy(update={"initial": "gan"})]}
    assert "initial: gan has no denoiser; name a diffusion model" in lines(arm=begins)
    begins = {"phases": [settings.arms["diffusion-encoder"].phases[0].model_copy(update={"initial": "x"})]}
    assert "initial: x is no generator of this cohort; there are: diffusion" in lines(arm=begins)
    start = settings.generators["diffusion-phantoms"].start
    generator = settings.generators["diffusion"].model_copy(update={"start": start})
    assert "began with phantoms, which level: L0 does not know" in (
        lines(generators=settings.generators | {"diffusion": generator})
    )
    generator = settings.generators["diffusion"].model_copy(
        update={"start": start.model_copy(update={"generator": None, "unlabelled": True})}
    )
    assert "has seen images without labels, which level: L0" in (
        lines(generators=settings.generators | {"diffusion": generator})
    )
    assert "lacks real-long at k = all, which gains are counted over" in (
        lines({"further": [given.further[0].model_copy(update={"arms": ["real", "diffusion-encoder"]})]})
    )
    assert "everywhere: false, and no block of classify.further names it" in lines({"further": []})
    assert "the first one judges generators" in lines({"classifiers": {"encoder": given.classifiers["encoder"]}})
    both = given.further[0].model_copy(update={"classifiers": ["encoder", "resnet"]})
    assert "real, real-long already in classify.arms" in lines({"further": [both]})
    with pytest.raises(ValueError, match="initial: what was learnt before would be lost"):
        arms.Arm(
            title="late",
            phases=[
                arms.PhaseOfArm(source="real", steps="P"),
                arms.PhaseOfArm(source="real", steps="N", initial="diffusion"),
            ],
        )


def test_the_study_of_spain_trains_it_with_its_controls():
    own_runs = [run for run in runs.all_runs(params.load("spain")) if run.classifier == "denoiser-encoder"]
    assert {run.arm for run in own_runs} >= {"real", "real-long", "diffusion-encoder"}
    assert {run.k for run in own_runs} >= {"10"}
