"""All sets of a small study, of which it is known what the tables must say; and their cards."""

import json
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from fetalkit.classifiers import models
from fetalkit.config import params, variants
from fetalkit.data.study import Study, set_name
from fetalkit.experiments import cas, fidelity, own_features, training_search
from fetalkit.generators import card
from fetalkit.metrics import compare, features
from fetalkit.reporting import card_contents
from fetalkit.utils import devices, paths
from fetalkit.utils.files import write_table

pytestmark = pytest.mark.slow

PLANES = ["Fetal abdomen", "Fetal brain"]
SIZE, TRAIN, TEST, DRAWN, NOVEL, SMALL = 32, 14, 12, 10, 8, 4  # images per plane
DUPLICATES = 2  # test images per plane that the study leaves out


def pictures(n, plane, random):
    """Noise on a grey level that tells the plane, uint8."""
    return (random.normal(90 + 60 * plane, 25, (n, SIZE, SIZE))).clip(0, 255).astype(np.uint8)


@pytest.fixture
def study(elsewhere, monkeypatch):
    """Subsets (5, all) × (0, 1). *diffusion* repeats train images of its subset at k = 5 and is new at k = all."""
    random = np.random.default_rng(0)
    settings = params.load("phantom")
    changes = {
        "run": dict(device="cpu", workers=1),
        "cohort": dict(planes=PLANES),
        "images": dict(image_size=SIZE),
        "splits": dict(shots=[5, "all"], seeds=[0, 1]),
        "generators": {"diffusion": {"training": dict(steps=100, snapshots=[0.5])}},
        "synthesis": dict(images_per_plane=DRAWN),
        "fidelity": dict(guidance_scales={"autoguidance": [2.0], "classifier-free": [2.0]}, neighbours=3),
        "classify": dict(arms=["real", "diffusion", "diffusion-novel"], further=[]),
        "report": dict(comparisons=[]),
    }
    settings = training_search.changed(settings, changes)
    parts = ["train"] * TRAIN + ["test"] * TEST
    table = pd.DataFrame(
        {
            "image_id": f"{number}-{plane}", "patient": str(place // 2), "plane": plane, "part": part, "linked": False,
            "dropped": "also in train" if place >= TRAIN + TEST - DUPLICATES else "", "group": "",
        }
        for number, plane in enumerate(PLANES) for place, part in enumerate(parts) for number in [place]
    )  # fmt: skip
    write_table(table, paths.data("phantom", "splits", "splits.csv"))
    train = table[table.part == "train"]
    shots = [
        rows.sample(TRAIN if k == "all" else k, random_state=seed)[["plane", "image_id"]].assign(seed=seed, k=str(k))
        for seed in (0, 1)
        for k in (5, "all")
        for _, rows in train.groupby("plane")
    ]
    write_table(pd.concat(shots), paths.data("phantom", "splits", "shots.csv"))
    store = np.concatenate([pictures(TRAIN + TEST, number, random) for number in range(len(PLANES))])
    paths.data("phantom", "images").mkdir(parents=True)
    np.save(paths.data("phantom", "images", "images.npy"), store)
    paths.data("phantom", "images", "image_ids.json").write_text(json.dumps(list(table.image_id)))
    paths.data("phantom", "synthetic").mkdir(parents=True)
    study = Study("phantom", settings)

    def save(name, k, seed, each, images=None):
        drawn = [pictures(each, number, random) for number in range(len(PLANES))] if images is None else images
        path = paths.data("phantom", "synthetic", f"{set_name(name, k, seed)}.npz")
        np.savez(path, images=np.concatenate(drawn), labels=np.repeat(np.arange(len(PLANES)), each))

    for seed in (0, 1):
        for k, steps, kept in (("5", 60, 0.5), ("all", 100, 1.0)):  # fewer images are learnt in fewer steps
            about = {
                "class": "x:X",
                "planes": PLANES,
                "image_size": SIZE,
                "training": {"steps": steps},
                "kept_share": kept,
            }
            folder = paths.data("phantom", "generators", set_name("diffusion", k, seed))
            folder.mkdir(parents=True)
            card.write(folder, about, [], 0.0)
            seen = study.train(k, seed)
            copies = [np.repeat(seen.images[seen.labels == number], 2, axis=0)[:DRAWN] for number in (0, 1)]
            save("diffusion", k, seed, DRAWN, copies if k == "5" else None)
            save("diffusion-novel", k, seed, NOVEL)
            save("simulation", k, seed, DRAWN)
    for each in variants.all_variants(settings):
        save(each.name, each.k, each.seed, SMALL)
    monkeypatch.setattr(features, "imagenet", lambda _: _space(features.FeatureSpace, features.IMAGENET))
    monkeypatch.setattr(own_features, "trained", lambda *_: _judge())
    monkeypatch.setattr(cas, "of_sets", _scores)
    return study


def _scores(study, names):
    """Stands in for trainings: the first set teaches half of what the real images do in one seed, all of it in the other."""
    return pd.DataFrame(
        dict(set=name, seed=seed, accuracy=0.4, share=0.5 + seed / 2) for name in names for seed in (0, 1)
    )


def _space(kind, name):
    return kind(name, nn.Sequential(nn.AvgPool2d(8), nn.Flatten()), devices.device("cpu"))


class Mean(nn.Module):
    """Stands in for a network of timm: its feature is the mean grey level, and 120 divides the two planes."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(1, 2)
        with torch.no_grad():
            self.last.weight.copy_(torch.tensor([[0.0], [1.0]]))
            self.last.bias.copy_(torch.tensor([0.0, -(120 / 255 - models.MEAN) / models.STD]))

    def forward_features(self, images):
        return images.mean(dim=(2, 3))

    def forward_head(self, features, pre_logits):
        return features

    def get_classifier(self):
        return self.last


def _judge():
    network = own_features.Penultimate(models.Normalised(Mean()))
    return own_features.ClassifierSpace("judge", network, devices.device("cpu"))


@pytest.fixture
def evaluation(study):
    return fidelity.Evaluation(study)


def test_every_set_is_looked_at(evaluation):
    assert evaluation.names_at("all") == ["diffusion", "simulation", "diffusion-novel"]
    assert evaluation.originals("all") == ["diffusion", "simulation"]
    assert evaluation.shown == ["5", "all"]
    assert len(evaluation.sets) == 3 * 4 and len(evaluation.guidance_sets) == len(evaluation.snapshots) == 2
    assert len(evaluation.test.labels) == 2 * (TEST - DUPLICATES), "dropped test images do not count"


def test_sets_are_compared_at_equal_numbers(evaluation):
    table = evaluation.compared
    n = table[table.plane == compare.ALL].groupby("set").n.agg(["min", "max"])
    assert n.loc["diffusion"].tolist() == n.loc["real_train"].tolist() == [2 * DRAWN] * 2
    assert n.loc["diffusion-novel"].tolist() == [2 * NOVEL] * 2
    assert n.loc["diffusion-classifier-free2"].tolist() == [2 * SMALL] * 2
    assert (table.set == "real_train").sum() == 2 * 3, "once per space and plane"
    assert not table.duplicated(["space", "set", "k", "seed", "plane"]).any()
    space = evaluation.vectors["judge"]
    drawn = evaluation.find("diffusion", "all", 1)
    expected = compare.table(
        {"judge": {name: space[0][name] for name in ("real_test", drawn.name)}},
        {name: evaluation.groups[0][name].labels for name in ("real_test", drawn.name)},
        PLANES,
        neighbours=3,
    )
    mine = table[(table.space == "judge") & (table.set == "diffusion") & (table.k == "all") & (table.seed == 1)]
    assert np.allclose(mine[list(compare.METRICS)], expected[list(compare.METRICS)])


def test_headline_is_the_mean_over_seeds_at_the_largest_k(evaluation):
    headline = evaluation.at("all")
    table = headline.set_index(["space", "set", "plane"])
    assert list(dict.fromkeys(headline.set)) == ["diffusion", "simulation", "diffusion-novel", "real_train"]
    of = evaluation.compared
    two = of[(of.space == "judge") & (of.set == "diffusion") & (of.k == "all") & (of.plane == "all")]
    assert len(two) == 2 and table.loc[("judge", "diffusion", "all")].fd == pytest.approx(two.fd.mean())


def test_copies_are_found_where_they_are(evaluation):
    pixels = evaluation.pooled(fidelity.PIXELS).set_index(["generator", "k"])
    assert pixels.loc[("diffusion", "5")].share == 1 and pixels.loc[("diffusion", "all")].share < 0.3
    assert (pixels.xs("5", level="k").n == [4 * DRAWN, 4 * DRAWN, 4 * NOVEL]).all()
    by_features = evaluation.pooled(features.IMAGENET).set_index(["generator", "k"])
    assert by_features.loc[("diffusion", "5")].share == 1 and by_features.loc[("simulation", "5")].share < 0.3
    over_time = evaluation.over_time()
    # At k = 5 the state after half of the training was kept: the set and the snapshot are of one step.
    assert sorted(zip(over_time.k, over_time.step, strict=True)) == [("5", 30), ("5", 30), ("all", 50), ("all", 100)]
    assert over_time[over_time.k == "5"].share.max() == 1


def test_labels_are_judged(evaluation):
    called = evaluation.called.set_index(["set", "k", "seed", "plane"]).sort_index()
    assert called[called.n > 0].accuracy.min() == 1, "the grey level tells the plane"
    wrong = evaluation.find("simulation", "all", 0)
    wrong.data.labels[:] = 1 - wrong.data.labels
    again = fidelity.Evaluation(evaluation.study)
    again.__dict__["sets"] = evaluation.sets
    rows = again.called[(again.called.set == "simulation") & (again.called.k == "all") & (again.called.seed == 0)]
    assert rows.accuracy.tolist() == [0, 0, 0]


def test_guidance_has_a_row_per_scale(evaluation):
    assert evaluation.guided[["guidance", "scale", "n"]].to_numpy().tolist() == [
        ["autoguidance", 2.0, 2 * SMALL],
        ["classifier-free", 2.0, 2 * SMALL],
    ]
    assert (evaluation.guided.accuracy == 1).all() and evaluation.guided.fd.notna().all()


def test_files_have_what_was_promised(evaluation, study):
    content = evaluation.summary()
    assert set(content) == {features.IMAGENET, "judge", "memorisation", "recognised", "recognised_by_k", "cas_share"}
    assert set(content["judge"]) == {"diffusion", "simulation", "diffusion-novel", "real_train"}
    assert set(content["judge"]["diffusion"]) == {*compare.METRICS, "n"}
    assert set(content["memorisation"]) == {"diffusion", "simulation", "diffusion-novel"}
    assert content["memorisation"]["diffusion"]["n"] == 4 * DRAWN
    assert content["cas_share"] == dict.fromkeys(["diffusion", "simulation", "diffusion-novel"], 0.75)
    called = evaluation.called
    for k, plane in product(("5", "all"), (compare.ALL, *PLANES)):
        expected = called[(called.set == "diffusion") & (called.k == k) & (called.plane == plane)].accuracy.mean()
        assert content["recognised_by_k"][k]["diffusion"][plane] == pytest.approx(expected, abs=1e-4)
    assert content["recognised_by_k"]["all"] == content["recognised"]
    assert set(content["recognised"]) == {"diffusion", "simulation", "diffusion-novel", compare.REFERENCE}
    by_set = evaluation.by_set()
    measures = "fd kid precision recall density coverage n share low high threshold n_memorisation"
    assert " ".join(by_set.columns) == f"generator k seed feature_space {measures}"
    assert len(by_set) == 12 * 2 and by_set.notna().all(axis=None)

    write_table(by_set, paths.data("phantom", "fidelity", "sets.csv"))
    names = [(each.generator, each.k, each.seed) for each in evaluation.sets]
    folder = paths.data("phantom", "cards")
    written = card_contents.write(study, names, folder)
    assert written == sorted(f"{set_name(*name)}/dataset.md" for name in names), "no generator is saved: no card of one"
    card = (folder / "diffusion-k5-seed1" / "dataset.md").read_text()
    assert "**100.0 %** of 20 drawn images are near-copies" in card and "Measured on this very set" in card
    card = (folder / "diffusion-novel-kall-seed0" / "dataset.md").read_text()
    assert "near-copies of the images that it has seen were left out" in card and "guidance_kind autoguidance" in card
