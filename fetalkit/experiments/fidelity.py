"""All that is measured on the synthetic sets of one study: every image goes through every network once."""

from functools import cached_property
from typing import Any, cast

import numpy as np
import pandas as pd

from fetalkit.config import variants
from fetalkit.data.images import Labelled
from fetalkit.data.study import Study, set_name
from fetalkit.experiments import cas, own_features
from fetalkit.experiments.synthetic_sets import Drawn, SyntheticSets
from fetalkit.generators import read_card
from fetalkit.metrics import compare, features, memorisation
from fetalkit.metrics.memorisation import Nearest
from fetalkit.utils import devices, paths

BEST = "real_train"
PIXELS = "pixels"


class Evaluation(SyntheticSets):
    """Fidelity, label fidelity and memorisation of every synthetic set of a study.

    Test images are those of the de-duplicated test part, train images those of the whole train part; for memorisation alone,
    those that the generator of each set has seen. Numbers of images are equal on both sides, plane by plane: the smallest of
    test part, train part and set. Sets that lack images, because near-copies were taken out of them, are compared apart, at
    their own number.

    Parameters
    ----------
    study
        With images, splits, and all synthetic sets that `sets.jobs` and `variants.all_variants` name.

    Raises
    ------
    FetalkitError
        On first use of a file that an earlier stage has not made yet, and when the test or the train part lacks a plane.
    """

    def __init__(self, study: Study):
        super().__init__(study)
        self.options = study.params.fidelity
        self.test, self.train = (_kept(study, part) for part in (study.tested_on, "train"))
        self._thresholds: dict[tuple, float] = {}

    # Features

    @cached_property
    def own(self) -> own_features.ClassifierSpace:
        """The study's own network, trained on real images."""
        return own_features.trained(self.study.cohort, self.settings)

    @cached_property
    def groups(self) -> list[dict[str, Labelled]]:
        """Images that are compared, plane after plane: one dict for all sets of one composition, with the real sets to it."""
        alike: dict[tuple[int, ...], list[Drawn]] = {}
        for each in (*self.sets, *self.guidance_sets):
            sizes = np.bincount(each.data.labels, minlength=len(self.study.planes))
            alike.setdefault(tuple(sizes.tolist()), []).append(each)
        groups = []
        for group in alike.values():
            sets = {compare.REFERENCE: self.test, BEST: self.train} | {each.name: each.data for each in group}
            labels = {name: data.labels for name, data in sets.items()}
            chosen = compare.draw(labels, self.study.planes, self.options.seed)
            rows = {name: np.concatenate(of) for name, of in chosen.items()}
            groups.append(
                {name: Labelled(data.images[rows[name]], data.labels[rows[name]]) for name, data in sets.items()}
            )
        return groups

    @cached_property
    def vectors(self) -> dict[str, list[dict[str, np.ndarray]]]:
        """Feature space → features of the images in `groups`, and in a last group those of all real images."""
        everything = [*self.groups, {compare.REFERENCE: self.test, BEST: self.train}]
        images = {
            f"{number} {name}": data.images for number, group in enumerate(everything) for name, data in group.items()
        }
        device = self.settings.run.device
        workers = devices.workers(self.settings.run.workers, devices.device(device))
        vectors = {}
        for space in (features.imagenet(device), self.own):
            of = features.of_sets(space, images, workers)
            vectors[space.name] = [
                {name: of[f"{number} {name}"] for name in group} for number, group in enumerate(everything)
            ]
        return vectors

    def images(self, each: Drawn) -> Labelled:
        """The images of a set that are compared, plane after plane."""
        return self._of(each, self.groups)

    def features(self, each: Drawn, space: str) -> np.ndarray:
        """Features of these images."""
        return self._of(each, self.vectors[space])

    @staticmethod
    def _of(each: Drawn, groups: list[dict]):
        return next(group[each.name] for group in groups if each.name in group)

    # Tables

    @cached_property
    def compared(self) -> pd.DataFrame:
        """Every set against real test images: the columns of `fetalkit.metrics.compare.table`, ``k`` and ``seed``.

        The set ``real_train``, without k and seed, is what a perfect generator would be: other real images.
        """
        parts, known = [], {each.name: each for each in (*self.sets, *self.guidance_sets)}
        for number, group in enumerate(self.groups):
            labels = {name: data.labels for name, data in group.items()}
            vectors = {space: groups[number] for space, groups in self.vectors.items()}
            seed, neighbours = self.options.seed, self.options.neighbours
            parts.append(compare.table(vectors, labels, self.study.planes, seed=seed, neighbours=neighbours))
        # Real train images stand in every group; those of the largest are compared at the number of the study's own sets.
        largest = max(range(len(parts)), key=lambda number: parts[number].n.max())
        parts = [part if number == largest else part[part.set != BEST] for number, part in enumerate(parts)]
        table = pd.concat(parts, ignore_index=True)
        subsets = [known[name].subset if name in known else ("", None) for name in table.set]
        table.insert(2, "k", [k for k, _ in subsets])
        table.insert(3, "seed", pd.array([seed for _, seed in subsets], "Int64"))
        table["set"] = [known[name].generator if name in known else name for name in table.set]
        return table

    def at(self, k: str) -> pd.DataFrame:
        """`compared` at one k, mean over seeds, the study's subject first."""
        order = {name: place for place, name in enumerate([*self.names_at(k), BEST])}
        table = self.compared
        table = table[table.set.isin(order) & table.k.isin([k, ""])]
        table = table.groupby(["space", "set", "plane"], sort=False)[["n", *compare.METRICS]].mean().reset_index()
        planes = {plane: place for place, plane in enumerate([compare.ALL, *self.study.planes])}
        spaces = {space: place for place, space in enumerate(self.vectors)}
        keys = {"space": spaces, "set": order, "plane": planes}
        return table.sort_values(list(keys), key=lambda column: column.map(keys[str(column.name)]), ignore_index=True)

    @cached_property
    def called(self) -> pd.DataFrame:
        """Does an image show the plane that was asked for? ``set``, ``k``, ``seed``, ``plane``, ``n``, ``accuracy``.

        The judge is the network of `own`; the real sets stand there with all their images.
        """
        vectors = self.vectors[self.own.name]
        sets = [
            (each.generator, each.k, each.seed, self.images(each), self.features(each, self.own.name))
            for each in (*self.sets, *self.guidance_sets)
        ]
        real = {compare.REFERENCE: self.test, BEST: self.train}
        sets += [(name, "", None, data, vectors[-1][name]) for name, data in real.items()]
        rows = []
        for name, k, seed, data, features_of in sets:
            right = self.own.classes(features_of) == data.labels
            for number, plane in enumerate([compare.ALL, *self.study.planes]):
                mine = right[data.labels == number - 1] if number else right
                accuracy = float(mine.mean()) if len(mine) else float("nan")
                rows.append(dict(set=name, k=k, seed=seed, plane=plane, n=len(mine), accuracy=accuracy))
        return pd.DataFrame(rows).astype({"seed": "Int64"})

    @cached_property
    def guided(self) -> pd.DataFrame:
        """``guidance`` (kind), ``scale``, ``accuracy`` of the study's own network, and the measures of the ImageNet space."""
        measured: Any = self._overall(features.IMAGENET)
        called = self.called[self.called.plane == compare.ALL].set_index("set").accuracy
        rows = []
        for each in variants.guidance(self.settings) if self.guidance_sets else ():
            about = dict(guidance=each.options["guidance_kind"], scale=each.options["guidance"])
            rows.append({**about, "accuracy": called[each.name], **measured.loc[each.name, ["n", *compare.METRICS]]})
        return pd.DataFrame(rows, columns=["guidance", "scale", "accuracy", "n", *compare.METRICS])

    def _overall(self, space: str) -> pd.DataFrame:
        """Rows of `compared` over all planes, by name of the set; names of variants occur once."""
        table = self.compared
        return table[(table.space == space) & (table.plane == compare.ALL)].set_index("set")

    # Memorisation

    def nearest(self, each: Drawn, space: str) -> Nearest:
        """Nearest image seen by its generator of each image of a set: of all by pixels, of the compared ones by features."""
        if space == PIXELS:
            return memorisation.nearest_images(each.data.images, self.study.train(*each.known).images)
        return memorisation.nearest(self.features(each, space), self._seen(each.known, space))

    def unseen(self, subset: tuple[str, int], space: str) -> Nearest:
        """Nearest train image of a subset of each test image."""
        if space == PIXELS:
            return memorisation.nearest_images(self.test.images, self.study.train(*subset).images)
        return memorisation.nearest(self.vectors[space][-1][compare.REFERENCE], self._seen(subset, space))

    def _seen(self, subset: tuple[str, int], space: str) -> np.ndarray:
        """Features of the train images of a subset."""
        rows = {image.tobytes(): row for row, image in enumerate(self.train.images)}
        return self.vectors[space][-1][BEST][[rows[image.tobytes()] for image in self.study.train(*subset).images]]

    def threshold(self, subset: tuple[str, int], space: str = PIXELS) -> float:
        """Distance below which an image is a near-copy of a train image of the subset; from test images."""
        if (space, subset) not in self._thresholds:
            distances = self.unseen(subset, space).distance
            self._thresholds[space, subset] = memorisation.threshold(distances, self.options.near_copy_quantile)
        return self._thresholds[space, subset]

    @cached_property
    def memorised(self) -> pd.DataFrame:
        """Near-copies in every set, by pixels and by ImageNet features, and by pixels in the snapshots.

        Columns: ``space``, ``set``, ``k``, ``seed`` and those of `fetalkit.metrics.memorisation.share`.
        """
        rows = []
        for space, sets in ((PIXELS, (*self.sets, *self.snapshots)), (features.IMAGENET, self.sets)):
            for each in sets:
                share = memorisation.share(self.nearest(each, space).distance, self.threshold(each.known, space))
                rows.append(dict(space=space, set=each.generator, k=each.k, seed=each.seed, **share))
        return pd.DataFrame(rows)

    def pooled(self, space: str) -> pd.DataFrame:
        """Shares of near-copies, seeds pooled: ``generator``, ``k``, ``share``, ``low``, ``high``, ``threshold``, ``n``."""
        table = self.memorised
        table = table[(table.space == space) & table.set.isin(self.names)]
        rows = [
            dict(generator=generator, k=k, **memorisation.pooled(cast(list[dict[str, float]], of.to_dict("records"))))
            for (generator, k), of in table.groupby(["set", "k"], sort=False)
        ]
        return pd.DataFrame(rows)

    def over_time(self) -> pd.DataFrame:
        """Near-copies by pixels in the course of training, first seed: ``k``, ``step``, ``share``, ``low``, ``high``.

        Steps are those that the generator of each k has made, and its set is of the state that was kept.
        """
        stages = []
        for each in variants.training_time(self.settings) if self.subject in self.names else []:
            made = read_card(paths.data(self.study.cohort, "generators", set_name(self.subject, each.k, each.seed)))
            steps = made["training"]["steps"]
            stages.append((each.name, each.k, round(each.fraction * steps)))
            stages.append((self.subject, each.k, round(made.get("kept_share", 1) * steps)))
        stages = list(dict.fromkeys(stages))
        table = self.memorised[(self.memorised.space == PIXELS) & (self.memorised.seed == self.first_seed)]
        by_set: Any = table.set_index(["set", "k"])
        rows = [dict(k=k, step=step, **by_set.loc[(name, k), ["share", "low", "high"]]) for name, k, step in stages]
        return pd.DataFrame(rows, columns=["k", "step", "share", "low", "high"]).sort_values(
            "step", kind="stable", ignore_index=True
        )

    # What is kept

    def by_set(self) -> pd.DataFrame:
        """Contents of ``sets.csv``: one row per set of the study and feature space; near-copies are those by pixels."""
        keys = ["set", "k", "seed"]
        table = self.compared[(self.compared.plane == compare.ALL) & self.compared.set.isin(self.names)]
        copies = self.memorised[self.memorised.space == PIXELS].drop(columns="space")
        copies = copies.rename(columns={"n": "n_memorisation"}).astype({"seed": "Int64"})
        table = table.drop(columns="plane").merge(copies, on=keys, how="left", validate="many_to_one")
        table = table.rename(columns={"set": "generator", "space": "feature_space"})
        first = ["generator", "k", "seed", "feature_space", *compare.METRICS, "n"]
        return table[[*first, "share", "low", "high", "threshold", "n_memorisation"]]

    def summary(self) -> dict:
        """Contents of ``fidelity.json``: see `fetalkit.metrics.compare.summary`; the largest k, mean over seeds."""
        copies = self.pooled(PIXELS)
        copies = copies[copies.k == self.largest].drop(columns="k").set_index("generator")
        content = compare.summary(self.at(self.largest), cast(dict[str, dict[str, float]], copies.to_dict("index")))
        share = self.scores.groupby("set", sort=False).share.mean()
        return content | {
            "recognised": self.recognised(self.largest),
            "recognised_by_k": {str(k): self.recognised(k) for k in self.settings.splits.shots},
            "cas_share": {name: round(float(share[name]), 4) for name in self.names_at(self.largest)},
        }

    @cached_property
    def scores(self) -> pd.DataFrame:
        """Classification accuracy scores of the sets at the largest k; see `fetalkit.experiments.cas.of_sets`."""
        at_largest = [each for each in self.sets if each.k == self.largest]
        names = self.names_at(self.largest)
        seeds = {name: [each.seed for each in at_largest if each.generator == name] for name in names}
        return cas.of_sets(self.study, seeds)

    def recognised(self, k: str) -> dict[str, dict[str, float]]:
        """Share of the images of every set at `k` that the network of `own` names as asked for: of all, and of each plane.

        Mean over seeds, in [0, 1]; beside them, as ``real_test``, that of real test images.
        """
        table = self.called[self.called.k.isin([k, ""]) & self.called.set.isin([*self.names, compare.REFERENCE])]
        shares = table.groupby(["set", "plane"], sort=False).accuracy.mean().round(4).unstack("plane")
        return cast(dict[str, dict[str, float]], shares.to_dict("index"))


def _kept(study: Study, part: str) -> Labelled:
    """Images of a part without those that the de-duplicated study leaves out."""
    rows = study.part(part)
    return study.labelled(rows[rows.dropped == ""])
