"""What the phases of arms train on: the images that their level may know, and nothing beside."""

import numpy as np
import pytest
import small_study
import torch
from torch import nn

from fetalkit.classifiers import balanced, fixmatch, mixture, trainer
from fetalkit.classifiers.loader import Feed
from fetalkit.config import arms, params, runs
from fetalkit.config.generation import Unlabelled
from fetalkit.config.params import Block
from fetalkit.config.runs import Run
from fetalkit.config.shots import Shots
from fetalkit.data.images import Labelled
from fetalkit.data.study import Study
from fetalkit.experiments import arm_phases, classification
from fetalkit.experiments.phase_cache import PhaseCache
from fetalkit.utils import paths
from fetalkit.utils.checkpoints import Checkpoint
from fetalkit.utils.files import write_table

RULE = Unlabelled(teachers=1, classifier="resnet", steps=2, agreement=1)
PHASES = {
    "replay": [{"source": "real", "steps": "P"}, {"source": "real", "steps": "N"}],
    "balanced": [{"source": "real", "steps": "N", "objective": "balanced-softmax"}],
    "oversampled": [{"source": "real", "steps": "N", "oversampled": True}],
    "pseudo-label": [{"source": "pseudo-labels", "steps": "P"}, {"source": "real", "steps": "N"}],
    "fixmatch": [{"source": "real", "steps": "P + N", "objective": "fixmatch"}],
    "styled": [{"source": "diffusion", "steps": "P", "style": "fourier"}, {"source": "real", "steps": "N"}],
    "low-share": [
        {"source": "real", "steps": "P", "synthetic": "diffusion", "share": 0.5, "weight": 0.25},
        {"source": "real", "steps": "N"},
    ],
}
LEVELS = {"pseudo-label": "L1", "fixmatch": "L1"}


@pytest.fixture
def study(elsewhere):
    """A study whose runs have 4 images per plane of 6, all from 2 of 3 train patients."""
    whole = small_study.trainable()
    train = whole.table[whole.table.part == "train"]
    shots = train.groupby("plane").head(4)[["plane", "image_id"]].assign(seed=0, k="4")
    write_table(shots, paths.data("phantom", "splits", "shots.csv"))
    (stored,) = paths.data("phantom", "synthetic").glob("*.npz")
    stored.rename(stored.with_name("diffusion-k4-seed0.npz"))
    own = {
        name: arms.Arm.model_validate({"title": name, "phases": phases, "level": LEVELS.get(name, "L0")})
        for name, phases in PHASES.items()
    }
    settings = whole.params
    update = {
        "arms": settings.arms | own,
        "splits": settings.splits.model_copy(update={"shots": Shots.of([4]), "seeds": [0]}),
        "classify": settings.classify.model_copy(update={"arms": ["real", *own], "pseudo_labels": RULE}),
    }
    return Study("phantom", settings.model_copy(update=update))


def trained(study: Study, arm: str, place: str = "once"):
    """Weights of a run, trained from nothing, and what else it leaves behind."""
    cache = PhaseCache("phantom", paths.work("phantom", place))
    model, outcome = classification.train("phantom", study.params, cache, Run(arm, "resnet", "4", 0))
    return {name: weight.clone() for name, weight in model.state_dict().items()}, outcome


def same(one: dict, other: dict) -> bool:
    return all(torch.equal(weight, other[name]) for name, weight in one.items())


@pytest.mark.slow
def test_every_arm_trains_and_differs_from_the_control(study):
    control, _ = trained(study, "real")
    for arm, phases in PHASES.items():
        made, outcome = trained(study, arm)
        assert len(outcome.trainings) == len(phases) and all(torch.isfinite(of).all() for of in made.values())
        if arm != "oversampled":  # all planes have as many images here
            assert not same(made, control), arm
    assert [row["images"] for row in outcome.budget] == [20, 20], "images of a phase are counted"


@pytest.mark.slow
@pytest.mark.parametrize("arm", PHASES)
def test_no_bit_moves_when_everything_hidden_from_a_level_is_changed(study, arm):
    before, _ = trained(study, arm)
    hidden = study.all_train - set(study.shots.image_id)
    table, labels_alone = study.table, LEVELS.get(arm) == "L1"
    # The labels of all that the run may not see, as far as files tell them.
    rows = table.image_id.isin(hidden) | (table.part == "test")
    others = {plane: study.planes[number - 1] for number, plane in enumerate(study.planes)}
    write_table(
        table.assign(plane=table.plane.where(~rows, table.plane.map(others))),
        paths.data("phantom", "splits", "splits.csv"),
    )
    images = np.load(paths.data("phantom", "images", "images.npy"))
    changed = table.part == "test" if labels_alone else rows
    images[np.flatnonzero(changed)] = 255 - images[np.flatnonzero(changed)]
    np.save(paths.data("phantom", "images", "images.npy"), images)
    after, _ = trained(Study("phantom", study.params), arm, "again")
    assert same(before, after), "something that the run may not know has had an effect"


@pytest.mark.slow
@pytest.mark.parametrize("arm", LEVELS)
def test_images_without_labels_have_an_effect_at_their_level(study, arm):
    before, _ = trained(study, arm)
    images = np.load(paths.data("phantom", "images", "images.npy"))
    rows = study.table.image_id.isin(study.all_train - set(study.shots.image_id))
    images[np.flatnonzero(rows)] //= 2
    np.save(paths.data("phantom", "images", "images.npy"), images)
    after, _ = trained(Study("phantom", study.params), arm, "again")
    assert not same(before, after)


@pytest.mark.slow
def test_an_arm_may_begin_with_the_train_images_of_another_cohort(study, monkeypatch):
    settings = study.params.model_copy(
        update={"classify": study.params.classify.model_copy(update={"other_cohort": "elsewhere"})}
    )
    paths.data("phantom").rename(paths.data("elsewhere"))
    small_study.write()
    monkeypatch.setattr(params, "load", lambda cohort: settings)
    material = arm_phases.Material(Study("phantom", settings), Run("x", "resnet", "4", 0), *2 * [None])
    other = material._images("other-cohort")
    assert np.array_equal(other.images, Study("elsewhere", settings).train("all", 0).images)
    assert len(other.labels) == 30, "6 of every plane: those of patients who are not in validation"


@pytest.mark.slow
def test_a_pull_of_the_outputs_trains_no_classifier_that_names_images_again(study, monkeypatch):
    settings = study.params.model_copy(
        update={"classify": study.params.classify.model_copy(update={"arms": ["real", "pseudo-label"]})}
    )
    first = classification.train_all("phantom", settings)
    assert not any(outcome.error for outcome in first)
    monkeypatch.setattr(trainer, "fit", lambda *of, **more: pytest.fail("is trained again"))
    again = classification.train_all("phantom", settings)
    assert not any(outcome.error for outcome in again)
    assert all(np.array_equal(a.probabilities, b.probabilities) for a, b in zip(first, again, strict=True))


def test_oversampling_shows_all_planes_alike():
    data = Labelled(np.arange(7, dtype=np.uint8)[:, None, None], np.array([0, 0, 0, 0, 1, 2, 2]))
    even = arm_phases.evened(data)
    assert np.bincount(even.labels).tolist() == [4, 4, 4]
    assert even.images.ravel().tolist() == [0, 1, 2, 3, 4, 4, 4, 4, 5, 6, 5, 6]


def test_balanced_softmax_adds_the_logarithms_of_the_frequencies():
    objective = balanced.BalancedSoftmax([90, 10])
    logits, target = torch.tensor([[0.3, -0.2]]), torch.tensor([1])
    loss = objective(lambda inputs: inputs, logits, target, 0, 1)
    odds = 10 * np.exp(-0.2) / (90 * np.exp(0.3) + 10 * np.exp(-0.2))
    assert loss.item() == pytest.approx(-np.log(odds), rel=1e-6)


def test_a_mixture_weighs_synthetic_images_and_keeps_only_statistics_of_real_ones():
    torch.manual_seed(0)
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2)).train()
    real, synthetic, targets = torch.randn(6, 3), torch.randn(2, 3) + 5, torch.tensor([0, 1, 0, 1, 0, 1, 1, 0])
    loss = mixture.Mixture(2, 0.25)(model, torch.cat([real, synthetic]), targets, 0, 1)
    assert torch.allclose(model[0].running_mean, 0.1 * real.mean(0), atol=1e-6)
    assert model[0].track_running_stats and model[0].num_batches_tracked == 1
    parts = [
        nn.functional.cross_entropy(model[1](nn.functional.batch_norm(x, None, None, training=True)), y)
        for x, y in ((real, targets[:6]), (synthetic, targets[6:]))
    ]
    assert loss.item() == pytest.approx((parts[0] + 0.25 * parts[1]).item(), rel=1e-5)


def test_fixmatch_learns_from_calls_that_are_sure_alone():
    class Sure(nn.Module):
        """Sees class 1 in every image, as surely as it is told."""

        def __init__(self, logit):
            super().__init__()
            self.logit = nn.Parameter(torch.tensor(float(logit)))

        def forward(self, images):
            return torch.stack([torch.zeros(len(images)), self.logit.expand(len(images))], dim=1)

    images = Labelled(np.zeros((4, 16, 16), np.uint8), np.zeros(4, np.int64))
    inputs, targets = torch.zeros(2, 1, 16, 16), torch.tensor([1, 1])
    for logit, counted in ((2.0, False), (4.0, True)):  # probabilities 0.88 and 0.98
        model = Sure(logit)
        alone = nn.functional.cross_entropy(model(inputs), targets).item()
        loss = fixmatch.FixMatch(model, Feed(images, 2, 0))(model, inputs, targets, 0, 1)
        assert loss.item() == pytest.approx(alone * (2 if counted else 1), rel=1e-5)
    objective = fixmatch.FixMatch(model, Feed(images, 2, 0))
    assert not any(weight.requires_grad for weight in objective.parameters()), "the optimiser leaves the average alone"


def test_batch_normalisation_is_estimated_anew_from_the_images_asked_for(elsewhere):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.LazyLinear(2))
    dark, bright = (Labelled(np.full((8, 16, 16), grey, np.uint8), np.arange(8) % 2) for grey in (20, 200))
    model(torch.zeros(2, 1, 16, 16))
    recipe = trainer.Recipe(
        batch_size=4, learning_rate=1e-3, weight_decay=0.0, warmup_fraction=0.0, label_smoothing=0.0
    )
    trainer.fit(
        model, Feed(dark, 2, 0), 3, recipe, device=torch.device("cpu"), label="x", statistics=Feed(bright, 2, 1),
        checkpoint=Checkpoint(elsewhere / "x.checkpoint", "x"),
    )  # fmt: skip
    weight = model[0].weight.sum(dim=(1, 2, 3)) * 200 / 255 + model[0].bias
    error = (model[1].running_mean - weight).abs().max()
    assert error < 0.3, "near what a bright image gives; augmentation changes its tone a little"
    assert model[1].momentum == 0.1


def test_arms_may_have_seeds_of_their_own_and_steps_for_every_k(study):
    block = Block(arms=["mixup"], shots=["4"], classifiers=["resnet"], seeds=[1])
    classify = study.params.classify.model_copy(update={"arms": ["real"], "further": [block]})
    splits = study.params.splits.model_copy(update={"seeds": [0, 1, 2]})
    settings = study.params.model_copy(update={"classify": classify, "splits": splits})
    assert [(run.arm, run.seed) for run in runs.all_runs(settings)] == [
        ("real", 0), ("real", 1), ("mixup", 1), ("real", 2),
    ]  # fmt: skip
    classify = classify.model_copy(update={"pretrain_steps": {"4": 7, "all": 9}})
    assert classify.steps("resnet", "4") == (7, 2) and classify.steps("resnet") == (9, 2)


@pytest.mark.parametrize(
    ("arm", "words"),
    [
        ({"phases": PHASES["fixmatch"]}, "trains on images without labels, which level: L0 does not know"),
        ({"phases": PHASES["pseudo-label"]}, "make it L1 or L1\\+L2"),
        ({"phases": [{"source": "real", "steps": "P", "weight": 0.5}]}, "weight is that of a share"),
        (
            {"phases": [{"source": "gan", "steps": "P", "objective": "fixmatch"}], "level": "L1"},
            "objective: fixmatch is for real images alone",
        ),
    ],
)
def test_arms_that_cannot_be_are_refused(arm, words):
    with pytest.raises(ValueError, match=words):
        arms.Arm.model_validate({"title": "x", **arm})
