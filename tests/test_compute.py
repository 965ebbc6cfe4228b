"""What runs cost: operations counted as they run equal those counted by hand, and what is planned equals what is done."""

import pytest
import small_study
import torch
from torch import nn

from fetalkit.config.arms import Arm
from fetalkit.config.generation import Stopping, Unlabelled
from fetalkit.config.params import Classifier
from fetalkit.config.runs import Run
from fetalkit.experiments import classification, compute, counting
from fetalkit.experiments.phase_cache import PhaseCache
from fetalkit.generators.diffusion.settings import DiffusionSampling
from fetalkit.metrics.compute import flops
from fetalkit.utils import progress

SPEND = Arm.model_validate({"title": "", "phases": [{"source": "real", "steps": "compute of diffusion"}]})


def forward_and_back(network, *shape):
    return flops(lambda: network(torch.rand(*shape)).sum().backward())


def test_a_small_network_counted_by_hand():
    """Two operations per multiplication; backwards as many again per gradient, and none of the images."""
    first, second, last = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 8, 3, stride=2, padding=1), nn.Linear(8 * 16, 5)
    forward = [2 * 64 * 9 * 4, 2 * 16 * 9 * 4 * 8, 2 * 8 * 16 * 5]  # on images of 8 px
    network = nn.Sequential(first, nn.ReLU(), second, nn.Flatten(), last)
    assert flops(lambda: network(torch.rand(3, 1, 8, 8))) == 3 * sum(forward)
    assert forward_and_back(network, 3, 1, 8, 8) == 3 * (2 * forward[0] + 3 * forward[1] + 3 * forward[2])


def test_channels_of_their_own_count_once():
    """Torch's own formula takes gradients of grouped convolutions for those of plain ones, 16 times too many here."""
    network = nn.Conv2d(16, 16, 3, padding=1, groups=16)
    assert forward_and_back(network, 2, 16, 8, 8) == 2 * 2 * (2 * 64 * 9 * 16)


def test_attention_counts_on_every_processor():
    query = torch.rand(1, 2, 10, 8)
    assert flops(lambda: nn.functional.scaled_dot_product_attention(query, query, query)) == 2 * (2 * 2 * 10 * 10 * 8)


def test_work_adds_up_and_gradients_of_gradients_count():
    network, images = nn.Conv2d(1, 4, 3), torch.rand(2, 1, 8, 8, requires_grad=True)

    def penalty():
        (slope,) = torch.autograd.grad(network(images).square().sum(), images, create_graph=True)
        slope.square().sum().backward()

    def both():
        penalty()
        network(images)

    assert flops(both) == flops(penalty) + flops(lambda: network(images))
    assert flops(penalty) > 3 * flops(lambda: network(images))


def test_nothing_is_reported_unseen(monkeypatch, tmp_path):
    monkeypatch.setenv(progress.VARIABLE, str(tmp_path / "log"))
    with progress.unseen(), progress.Progress("work", 1) as hidden:
        hidden.report()
    assert not (tmp_path / "log").exists()
    with progress.Progress("work", 1) as seen:
        seen.report()
    assert "work" in (tmp_path / "log").read_text()


@pytest.fixture
def study(elsewhere):
    """The small study with arms that cost this and that; its generator is small, too."""
    made = small_study.trainable(
        ["real", "real-long", "diffusion", "diffusion-guided", "interpolation", "real-compute"]
    )
    settings = made.params
    spec = settings.generators["diffusion"]
    training = spec.training.model_copy(
        update={"channels": (8, 16), "attention": (False, False), "steps": 9, "batch_size": 6, "snapshots": (0.5,)}
    )
    few = {"training": training, "budget": None, "stopping": None}
    generators = {**settings.generators, "diffusion": spec.model_copy(update=few)}
    updates = {
        "generators": generators,
        "arms": {**settings.arms, "real-compute": SPEND},
        "synthesis": settings.synthesis.model_copy(update={"images_per_plane": small_study.DRAWN}),
    }
    made.params = settings.model_copy(update=updates)
    return made


def of(study, arm):
    run = Run(arm, "resnet", study.params.splits.shots.largest, study.params.splits.seeds[0])
    return compute.of_run(study, run)


def with_generator(study, **changes):
    spec = study.params.generators["diffusion"]
    update = {"generators": {**study.params.generators, "diffusion": spec.model_copy(update=changes)}}
    study.params = study.params.model_copy(update=update)
    return compute.of_generator(study, "diffusion", study.params.splits.shots.largest, 0)


def test_arms_of_a_study(study):
    """P = 1 and N = 2 steps; interpolation trains nothing; a set that is drawn otherwise has the same generator."""
    step = compute.of_step(study.params, study.params.classify, "resnet")
    costs = {arm: of(study, arm) for arm in study.params.classify.arms}
    nothing = {"generator": 0, "drawing": 0}
    assert costs["real"] == nothing | {"classifier": 2 * step, "total": 2 * step}
    assert costs["real-long"] == costs["interpolation"] == nothing | {"classifier": 3 * step, "total": 3 * step}
    diffusion, guided = costs["diffusion"], costs["diffusion-guided"]
    assert diffusion["classifier"] == 3 * step and diffusion["generator"] == guided["generator"] > 0
    assert guided["drawing"] > 0 < diffusion["drawing"]
    assert all(cost["total"] == sum(cost.values()) - cost["total"] for cost in costs.values())


def test_equal_compute_within_a_step(study):
    step = compute.of_step(study.params, study.params.classify, "resnet")
    assert abs(of(study, "real-compute")["total"] - of(study, "diffusion")["total"]) <= step / 2
    assert of(study, "real-compute")["total"] > 2 * of(study, "real-long")["total"]


@pytest.mark.slow
def test_what_is_planned_is_what_is_done(study):
    """The whole training and drawing of a generator, counted; its cost is found from shorter ones on smaller batches."""
    settings, guided = study.params, {"guide_steps": 5}
    for changes in ({}, guided):
        spec = settings.generators["diffusion"]
        spec = spec.model_copy(update={"training": spec.training.model_copy(update=changes)})
        made = counting._from(counting._key(settings, spec))
        assert flops(lambda made=made: counting._learnt(made, False)) == counting.training(settings, spec)
    sampling = DiffusionSampling(steps=6, guidance_kind="classifier", guidance=2.0)
    labels = torch.arange(len(study.planes)).repeat(3).numpy()
    drawn = flops(lambda: made.sample(labels, seed=1, sampling=sampling))
    assert drawn == pytest.approx(len(labels) * counting.image(settings, spec, sampling))


@pytest.mark.slow
def test_penalties_of_a_gan_count_when_they_are_due(study):
    settings, spec = study.params, study.params.generators["gan"]
    changes = {"steps": 9, "batch_size": 8, "penalty_every": 4, "channels": (8, 8)}
    spec = spec.model_copy(update={"training": spec.training.model_copy(update=changes)})
    made = counting._from(counting._key(settings, spec))
    assert flops(lambda: counting._learnt(made, False)) == pytest.approx(counting.training(settings, spec), rel=1e-3)


def test_guidance_costs_a_second_pass(study):
    """Classifier-free: two passes at every noise level, or at those within the interval alone."""
    settings, spec = study.params, study.params.generators["diffusion"]

    def drawn(**options):
        return counting.image(settings, spec, DiffusionSampling(steps=6, **options))

    plain = drawn(guidance=1.0)
    assert drawn(guidance=2.0, guidance_kind="classifier-free") == pytest.approx(2 * plain)
    assert drawn(guidance=2.0, guidance_kind="autoguidance") == pytest.approx(2 * plain)
    assert plain < drawn(guidance=2.0, guidance_interval=(0.2, 5)) < 2 * plain


def test_all_of_a_generator_counts(study):
    """Stopping draws from every state; teachers are classifiers."""
    alone = with_generator(study)
    stopped = with_generator(study, stopping=Stopping(near_copies=0.5, images_per_plane=10))
    spec = study.params.generators["diffusion"]
    each = counting.image(study.params, spec, spec.sampling)
    assert stopped - alone == pytest.approx(2 * 10 * len(study.planes) * each, abs=1)
    rule = Unlabelled(teachers=3, classifier="resnet", steps=4, agreement=2)
    step = compute.of_step(study.params, study.params.classify, "resnet")
    assert with_generator(study, unlabelled=rule) - stopped == 3 * 4 * step


def test_networks_that_see_larger_images_cost_more():
    plain, larger = (Classifier(model="resnet10t", arguments={}, input_size=size) for size in (32, 64))
    assert counting.classifier(larger, 4, 32) == pytest.approx(4 * counting.classifier(plain, 4, 32), rel=0.01)


def test_budgets_tell_the_cost_of_every_phase(study):
    arm, seed = "diffusion", study.params.splits.seeds[0]
    run = Run(arm, "resnet", study.params.splits.shots.largest, seed)
    _, outcome = classification.train("phantom", study.params, PhaseCache.of("phantom", "classify"), run)
    first, second = compute.noted(study, outcome).budget
    cost = compute.of_run(study, run)
    assert (first["images_seen"], second["images_seen"]) == (4, 8)
    assert first["generator_flops"] == cost["generator"] and second["generator_flops"] == 0
    assert first["total_flops"] + second["total_flops"] == cost["total"]
