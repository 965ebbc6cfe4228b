"""What the terms of a report mean, with the numbers of the study: shown at a click below its answer."""

from collections.abc import Mapping
from typing import Any

from fetalkit.analysis.generator_quality import FAIR, FAR, GOOD, NEAR
from fetalkit.analysis.terms import SIGNIFICANT
from fetalkit.analysis.wording import listed, percent
from fetalkit.config.shots import EVERY

INTERVAL = (
    "Where the mean over all patients and trainings that might have been drawn is likely to lie: intervals made in this way "
    "cover it 95 times in 100. It is not corrected for the number of comparisons."
)


def of_cohort(summary: Mapping[str, Any]) -> dict[str, str]:
    """Term → meaning, from a ``summary.json``."""
    budget, shots = summary["budget"], summary["shots"]
    every = f"; all: the whole train part, {summary['n_train']} images" if EVERY in shots else ""
    return {
        "k": f"Real, labelled images per plane that a classifier may learn from; here {listed(shots)}{every}.",
        "N, P": f"Steps of training: N = {_steps(budget['train_steps'])} on real images; P = "
        f"{_steps(budget['pretrain_steps'])} before them, on drawn images or whatever else an arm begins with. A classifier "
        "may have its own.",
        "arm, control": "An arm is a way to train a classifier. A control trains without the idea under test; an arm is more "
        "accurate, or not, than its control with the same classifier, images and seed. Page 07 says what each arm is.",
        "real, real-long, replay": "The controls on real images alone: N steps, as in the paper; P + N steps, as long as an "
        "arm that pre-trains; the same in two phases.",
        "level": "What training may know. L0: the run's labelled images; L1: also the other train images, without labels; L2: "
        "also what comes from elsewhere, such as simulated phantoms. An arm is compared with controls that know no more.",
        "point": "Percentage point of accuracy, the share of test images whose plane is named rightly.",
        "95 % interval": INTERVAL,
        "p, corrected": "How often chance alone gives a difference as large, if there is none, allowing for the number of "
        f"comparisons named (Holm). Only below {SIGNIFICANT} is a gain or a loss said to be shown.",
        "primary, exploratory": "Primary comparisons were named before these runs looked at test patients, and alone can "
        "confirm something. All else explores.",
        "weak, fair, good": "Of a generator: how often a classifier trained on real images recognises the plane that an image "
        f"was asked for, beside real test images. Good: at least {percent(GOOD, 0)} as often; fair: at least "
        f"{percent(FAIR, 0)}; weak: less. One step lower where some plane is recognised less than half as often as real images "
        f"of it; and no more than fair where the images' Fréchet distance is above {NEAR:g} times that of real train images, "
        f"weak above {FAR:g} times.",
    }


def _steps(given: int | Mapping[str, int]) -> str:
    """A number of steps, which may differ between k."""
    return str(given) if isinstance(given, int) else f"{min(given.values())} to {max(given.values())} (by k)"


def of_transfer(labelled: int) -> dict[str, str]:
    """Term → meaning, for a study from one hospital to another; `labelled` images per plane are known of the target."""
    return {
        "source, target": "Where the classifier learns, and where it is tested.",
        "none, unlabelled, labelled": "What training knows of the target: nothing; images without their planes; the planes of "
        f"{labelled} images of each. Methods are compared within a level alone.",
        "baseline": "The plainest use of what a level knows: *unaligned* (the source alone), *pseudo-label* (also the target's "
        "images as *unaligned* calls them), *joint* (also the labelled images).",
        "point": "Percentage point of accuracy, the share of test images whose plane is named rightly.",
        "95 % interval": INTERVAL,
        "p, corrected": "How often chance alone gives a difference as large, if there is none, allowing for the number of "
        f"comparisons named (Holm). Only below {SIGNIFICANT} is a gain or a loss said to be shown.",
    }
