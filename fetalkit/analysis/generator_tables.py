"""What the pages of generators and of their sets show: training times, losses, states, and images side by side."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from fetalkit.analysis import names, wording
from fetalkit.config import sets, variants
from fetalkit.config.params import Params
from fetalkit.data.study import Study
from fetalkit.experiments.generator_training import Trained

_POINTS = 40  # of a curve of losses


def times(trained: Sequence[Trained]) -> pd.DataFrame:
    """Training time of every generator: ``run``, ``seconds``."""
    return pd.DataFrame([{"run": item.name, "seconds": round(item.seconds, 1)} for item in trained])


def overview(trained: Sequence[Trained], settings: Params) -> pd.DataFrame:
    """What every generator is: ``generator``, ``k``, ``runs``, ``steps``, ``seconds`` (means; none if untrained)."""
    rows = [
        dict(
            generator=item.generator,
            what=settings.generators[item.generator].title,
            k=item.k,
            steps=float(len(item.losses) or np.nan),
            seconds=item.seconds if item.losses else np.nan,
        )
        for item in trained
    ]
    table = pd.DataFrame(rows).groupby(["generator", "what", "k"], sort=False)
    return table.agg(runs=("seconds", "size"), steps=("steps", "mean"), seconds=("seconds", "mean")).reset_index()


def window(trained: Sequence[Trained]) -> int:
    """Number of steps that a point of a curve of losses is the mean of."""
    return max(1, max((len(item.losses) for item in trained), default=0) // _POINTS)


def losses(trained: Sequence[Trained], settings: Params) -> dict[str, dict[str, np.ndarray]]:
    """Losses of every step, mean over seeds: class of the generator → generator and k → (steps,)."""
    kinds: dict[str, dict[str, list]] = {}
    for item in trained:
        if item.losses:
            kind = kinds.setdefault(settings.generators[item.generator].class_path.partition(":")[2], {})
            kind.setdefault(f"{item.generator}, k = {item.k}", []).append(item.losses)
    return {kind: {name: np.mean(of, axis=0) for name, of in runs.items()} for kind, runs in kinds.items()}


def denoiser_curves(trained: Sequence[Trained], settings: Params) -> pd.DataFrame:
    """Loss of the study's diffusion model against the step, one curve per run: ``step``, ``run``, ``loss``."""
    subject = settings.generators[settings.fidelity.varied].class_path if settings.fidelity.varied else ""
    over = window(trained)
    rows = []
    for item in trained:
        if item.losses and settings.generators[item.generator].class_path == subject:
            means = pd.Series(item.losses).rolling(over, step=over).mean().dropna()
            rows += [(step + 1, item.name, round(value, 6)) for step, value in zip(means.index, means, strict=True)]
    return pd.DataFrame(rows, columns=["step", "run", "loss"])


def states(trained: Sequence[Trained]) -> pd.DataFrame:
    """States that stopping has chosen from, with ``generator``, ``k`` and ``seed``; empty where it had no choice."""
    parts = [item.states.assign(generator=item.generator, k=item.k, seed=item.seed) for item in trained]
    return pd.concat([part for part in parts if len(part)] or [pd.DataFrame()])


def learnt(states: pd.DataFrame) -> list[str]:
    """One sentence per generator and k: how near to validation images it draws, and whether it still comes nearer.

    Parameters
    ----------
    states
        As the function `states` returns them.
    """
    said = []
    for (generator, k), rows in states.groupby(["generator", "k"], sort=False):
        course: Any = rows.groupby("share")[["step", "kid", "near_copies"]].mean()
        early, late = course.iloc[0], course.iloc[-1]
        text = (
            f"*{generator}*, k = {k}: the kernel distance from validation images goes from {wording.number(early.kid, 3)} at "
            f"step {wording.number(early.step, 0)} to {wording.number(late.kid, 3)} at step {wording.number(late.step, 0)}, "
            f"the last, mean of {wording.counted(rows.seed.nunique(), 'seed')}"
        )
        if len(course) > 1:
            share = 1 - late.kid / course.kid.iloc[-2]
            text += (
                f"; it still falls there, by {wording.percent(share, 0)} since the state before" if share > 0 else ""
            )
        kept = rows[rows.kept]
        said.append(
            f"{text}. Near-copies in the states that are kept: {wording.percent(kept.near_copies.mean())}, judged while "
            "training, on fewer images and by validation images; page 06 judges the sets that classifiers learn from."
        )
    return said


def drawing(settings: Params) -> dict[str, Any]:
    """How many synthetic sets there are, and how each generator draws, by name."""
    used = dict.fromkeys(job["generator"] for job in sets.jobs(settings))
    options = {name: of for name in used if (of := settings.generators[name].sampling.model_dump())}
    return {
        "Synthetic sets": f"{len(sets.jobs(settings))} drawn by generators, {len(sets.derived(settings))} derived from these",
        "Images per plane in each": settings.synthesis.images_per_plane,
        **{
            f"Drawn by {name}": [f"{names.plain(key)}: {value}" for key, value in of.items()]
            for name, of in options.items()
        },
        "Variants drawn for the fidelity page": len(sets.drawable(settings, variants.all_variants(settings))),
    }


def samples(study: Study, k: str, seed: int, each: int = 8) -> dict[str, np.ndarray]:
    """The first images of every plane, real and in every set of a subset: plane and source → (`each`, h, w), uint8."""
    every = [*sets.jobs(study.params), *sets.derived(study.params)]
    drawn = [job["generator"] for job in every if (job["k"], job["seed"]) == (k, seed)]
    shown = {"real": study.train(k, seed)} | {name: study.synthetic(name, k, seed) for name in drawn}
    return {
        f"{plane} {name}": data.images[data.labels == number][:each]
        for number, plane in enumerate(study.planes)
        for name, data in shown.items()
    }
