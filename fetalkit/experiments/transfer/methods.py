"""The methods of the transfer study: what each does, and how much it has to know of the target.

Every method spends P + N steps in all, P = ``pretrain_steps`` and N = ``train_steps``: those that pre-train spend P on
synthetic images and N on real ones, the others all of them on real ones. `Method` is a set of independent choices, so that
methods can be combined; the level follows from them, and from the level the baseline (`BASELINES`) that a gain is over.

References
----------
Lee D-H. Pseudo-Label: The Simple and Efficient Semi-Supervised Learning Method for Deep Neural Networks. ICML workshop on
challenges in representation learning (2013); here with one teacher, the control, and its calls taken once.
"""

from dataclasses import dataclass

# What is known of the target: nothing; the images of its train part; and the planes of k of them as well.
NONE, UNLABELLED, LABELLED = LEVELS = ("none", "unlabelled", "labelled")
SOURCE, TARGET, JOINT, PSEUDO = "source", "target", "joint", "pseudo"
CONTROL = "unaligned"


@dataclass(frozen=True)
class Method:
    """Choices of a method; those that are not made are those of the control.

    Attributes
    ----------
    augmentation
        One of `fetalkit.classifiers.loader.AUGMENTATIONS`.
    scales
        Predict at several magnifications, as `fetalkit.experiments.transfer.scales` does.
    outline
        Give all images, in training and test, one outline, as `fetalkit.metrics.outline.standardise_mask` does.
    alignment
        One of `fetalkit.experiments.transfer.alignment.KINDS`, of source to target; ``""`` for none.
    style
        One of `fetalkit.classifiers.styles.STYLES`: source images take it over from the target; ``""`` for none.
    adabn
        After training, take normalisation statistics from the target, as `fetalkit.experiments.transfer.adabn` does.
    images
        Labelled real images: of the ``"source"``, ``"target"`` (k per plane), or ``"joint"``, a share of every batch of each;
        or ``"pseudo"``, joint with all train images of the target under the planes that the control calls them.
    pretraining
        Begin with synthetic images of a diffusion model that has seen the ``"source"``, or the ``"target"`` too; ``""`` for no.
    pretraining_alignment
        As `alignment`, of those synthetic images to real images of the source.
    magnified
        Those synthetic images are drawn at several magnifications, as `fetalkit.experiments.transfer.magnified` does.
    """

    augmentation: str = "standard"
    scales: bool = False
    outline: bool = False
    alignment: str = ""
    style: str = ""
    adabn: bool = False
    images: str = SOURCE
    pretraining: str = ""
    pretraining_alignment: str = ""
    magnified: bool = False

    @property
    def level(self) -> str:
        """The least of `LEVELS` that the method can do with."""
        if self.images in (TARGET, JOINT):
            return LABELLED
        seen = self.images == PSEUDO or self.pretraining == TARGET
        return UNLABELLED if seen or self.alignment or self.style or self.adabn else NONE

    @property
    def needs_control(self) -> bool:
        """Whether its training may ask the control for planes of the target's images."""
        return bool(self.pretraining) or self.images == PSEUDO


METHODS: dict[str, Method] = {
    CONTROL: Method(),
    "multi-scale": Method(augmentation="multi-scale"),
    "multi-resolution": Method(scales=True),
    "multi-scale+multi-resolution": Method(augmentation="multi-scale", scales=True),
    "ultrasound": Method(augmentation="ultrasound"),
    "standard-outline": Method(outline=True),
    "synthetic-source": Method(pretraining=SOURCE),
    "synthetic-magnified": Method(pretraining=SOURCE, magnified=True),
    "synthetic-aligned": Method(pretraining=SOURCE, pretraining_alignment="coral"),
    "pseudo-label": Method(images=PSEUDO),
    "coral": Method(alignment="coral"),
    "mmd": Method(alignment="mmd"),
    "dann": Method(alignment="dann"),
    "adabn": Method(adabn=True),
    "histogram": Method(style="histogram"),
    "fourier": Method(style="fourier"),
    "synthetic-target": Method(pretraining=TARGET),
    "target-only": Method(images=TARGET),
    "joint": Method(images=JOINT),
    "joint+coral": Method(images=JOINT, alignment="coral"),
    "joint+synthetic-target": Method(images=JOINT, pretraining=TARGET),
}
# What the methods of a level are compared with: the plainest use of what the level knows.
BASELINES = {NONE: CONTROL, UNLABELLED: "pseudo-label", LABELLED: "joint"}
# Training with or without the wide range of scales, prediction at one or at several.
ABLATION = {
    ("standard", "one"): CONTROL,
    ("standard", "several"): "multi-resolution",
    ("multi-scale", "one"): "multi-scale",
    ("multi-scale", "several"): "multi-scale+multi-resolution",
}
OUTLINE = "standard-outline"
SUBJECT = "diffusion"  # the generator of the source cohort that those which pre-train depart from
# Those that predict from one image, which a map can be drawn over.
ONE_SCALE = [name for name, method in METHODS.items() if not method.scales]


@dataclass(frozen=True)
class Phase:
    """Some steps of training: on ``"synthetic"`` or ``"real"`` images, with an alignment or without (``""``)."""

    source: str
    steps: int
    alignment: str = ""


def phases(method: Method, pretrain_steps: int, train_steps: int) -> tuple[Phase, ...]:
    """Phases of `method` for P = `pretrain_steps` and N = `train_steps`."""
    if not method.pretraining:
        return (Phase("real", pretrain_steps + train_steps, method.alignment),)
    return (
        Phase("synthetic", pretrain_steps, method.pretraining_alignment),
        Phase("real", train_steps, method.alignment),
    )


def baseline(name: str) -> str:
    """The method that the method `name` is compared with: that of `BASELINES` at its level, for which it is itself."""
    return BASELINES[METHODS[name].level]


def by_level(names: list[str]) -> list[str]:
    """`names` of methods, those first that know least of the target; within a level its baseline, then the order given."""
    return sorted(names, key=lambda name: (LEVELS.index(METHODS[name].level), name != baseline(name)))
