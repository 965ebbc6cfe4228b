"""The whole study, small: every notebook through real papermill and real ``dvc repro`` in a temporary clone."""

import json
import subprocess
import sys

import pytest
import yaml
from small_clone import FURTHER, ROOT, Clone

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """The clone after its first ``dvc repro``."""
    clone = Clone(tmp_path_factory.mktemp("study") / "clone")
    clone("dvc", "repro")
    clone.commit()
    return clone


def test_the_report_is_there(clone):
    report = clone.folder / "reports" / "phantom"
    pages = {path.name for path in report.glob("*.html")}
    assert pages == {"index.html"} | {f"{path.stem}.html" for path in (ROOT / "notebooks").glob("0[1-8]*.ipynb")}
    assert all(path.stat().st_size < 3_000_000 for path in report.glob("*.html"))
    assert len(list((report / "figures").glob("*.png"))) >= 10


def test_the_long_table_has_every_cell(clone):
    table = clone.table("reports", "phantom", "results.csv")
    assert list(table.columns) == ["cohort", "arm", "classifier", "k", "seed", "metric", "value"]
    assert not table.duplicated(["arm", "classifier", "k", "seed", "metric"]).any()
    cells = table.groupby(["arm", "classifier", "k", "seed"]).size()
    # Four arms in every cell, nine more with three images per plane and one of the classifiers.
    assert len(cells) == 4 * 2 * 2 * 2 + 9 * 2
    assert table[table.metric == "accuracy"].value.between(0, 1).all()
    assert len(table[table.metric == "accuracy"]) == 50


def test_the_summary_is_complete(clone):
    summary = json.loads((clone.folder / "reports/phantom/summary.json").read_text())
    splits = clone.table("reports", "phantom", "splits.csv")
    assert summary["cohort"] == "phantom"
    assert summary["n_test"] == ((splits.part == "test") & splits.dropped.isna()).sum() == 48
    assert summary["n_train"] + summary["n_validation"] == 96
    assert (summary["patients_train"] + summary["patients_validation"], summary["patients_test"]) == (16, 8)
    assert set(summary["duplicates"]) >= {"pairs", "cross_split"}
    assert summary["seeds"] == [0, 1]
    assert summary["wall_seconds"] > 0
    assert summary["test_readings"] == 2 and summary["failed_cells"] == []
    assert list(summary["headline"]) == ["diffusion", "gan", "interpolation", "mixup", "simulation"]
    for arm, of in summary["headline"].items():
        for over in (of, of["over_real"], of["over_real_long"]):
            assert set(over["few_shot"]) == {"gain", "low", "high", "p", "p_holm", "n_cells"}
            assert (over["full"] is None) == (arm != "diffusion")
        assert of["few_shot"]["n_cells"] == (4 if arm == "diffusion" else 2)
    results = clone.table("reports", "phantom", "results.csv")
    for arm, classifiers in summary["arms"].items():
        for classifier, by_k in classifiers.items():
            for k, entry in by_k.items():
                for metric in ("accuracy", "balanced_accuracy"):
                    rows = results[(results.arm == arm) & (results.classifier == classifier) & (results.k == k)]
                    values = rows[rows.metric == metric].set_index("seed").value
                    assert entry[metric]["mean"] == pytest.approx(values.mean(), abs=1e-5)
                    assert entry[metric]["per_seed"] == pytest.approx(values.rename(str).to_dict(), abs=1e-5)
                assert entry["accuracy"]["low"] <= entry["accuracy"]["mean"] <= entry["accuracy"]["high"]


def test_the_transfer_study_is_published(clone):
    report = clone.folder / "reports/phantom"
    content = json.loads((report / "transfer.json").read_text())
    assert content["failed_runs"] == []
    (found,) = content["directions"].values()
    assert {level: set(of) for level, of in found.items()} == {
        "none": {"unaligned", "standard-outline", "synthetic-source"},
        "unlabelled": {"coral", "synthetic-target"},
        "labelled": {"joint"},
    }
    table = clone.table("reports", "phantom", "transfer.csv")
    assert table[table.metric == "accuracy"].value.between(0, 1).all() and table.method.nunique() == 6
    assert len(clone.table("reports", "phantom", "test_readings.csv")) == 2
    assert 'href="08_transfer.html"' in (report / "index.html").read_text()


def test_budgets_are_those_of_the_arms(clone):
    """P = 3 and N = 4: every arm spends both, but for the control of the paper and the arm that stops before real images."""
    budgets = clone.table("reports", "phantom", "budgets.csv")
    spent = budgets.groupby(["arm", "classifier", "k", "seed"]).steps.sum().groupby("arm").agg(["min", "max"])
    assert {arm: (row["min"], row["max"]) for arm, row in spent.iterrows()} == {
        arm: (wanted, wanted)
        for arm in ("real-long", "diffusion", *FURTHER, "real", "synthetic-only")
        for wanted in [{"real": 4, "synthetic-only": 3}.get(arm, 7)]
    }
    pretrained = budgets[budgets.phase == 1].groupby("arm").source.unique()
    for arm in ("diffusion", "diffusion-phantoms", "gan", "interpolation", "simulation", "diffusion-ceiling"):
        assert list(pretrained[arm]) == [arm]
        assert set(budgets[(budgets.arm == arm) & (budgets.phase == 2)].source) == {"real"}


def test_fidelity_of_every_set_is_published(clone):
    report = clone.folder / "reports" / "phantom"
    content = json.loads((report / "fidelity.json").read_text())
    copies = content.pop("memorisation")
    assert set(copies) == {"diffusion", "simulation"} and len(content) == 2  # the generators at the largest k
    for by_set in content.values():
        assert set(by_set) == {"diffusion", "simulation", "real_train"}
        assert all(of["n"] == 4 * 6 and of["fd"] > 0 for of in by_set.values())
    # Two seeds of four images of six planes.
    assert all(of["n"] == 48 and of["low"] <= of["share"] <= of["high"] for of in copies.values())
    cells = clone.table("data", "phantom", "fidelity", "cells.csv")
    # In two feature spaces: two generators in four cells each, three more in the two with three images per plane.
    assert len(cells) == 2 * (2 * 4 + 3 * 2) and not cells.duplicated(["generator", "k", "seed", "feature_space"]).any()
    assert cells[["share", "fd"]].notna().all(axis=None)
    planes = clone.table("reports", "phantom", "fidelity.csv").groupby(["feature_space", "set", "k", "seed"]).plane
    assert (planes.nunique() == 7).all()
    names = {f"{name}-k{k}-seed{seed}" for name in ("diffusion", "simulation") for k in (3, "all") for seed in (0, 1)}
    names |= {f"{name}-k3-seed{seed}" for name in ("diffusion-phantoms", "gan", "interpolation") for seed in (0, 1)}
    assert {path.name for path in (report / "cards").iterdir()} == names
    for name in names:
        trained = name.startswith(("diffusion", "gan"))
        assert (report / "cards" / name / "generator.md").exists() == trained
        assert "Measured on this very set." in (report / "cards" / name / "dataset.md").read_text()
    page = (report / "06_fidelity.html").read_text()
    assert all(f'href="cards/{name}/dataset.md"' in page for name in names)
    assert 'href="06_fidelity.html"' in (report / "index.html").read_text()


def test_a_second_repro_does_nothing(clone):
    again = clone("dvc", "repro")
    assert clone.executed(again) == []
    assert "up to date" in again.stdout
    assert clone("git", "status", "--porcelain").stdout == ""


def test_metrics_and_plots(clone):
    shown = json.loads(clone("dvc", "metrics", "show", "--json").stdout)
    numbers = shown[""]["data"]["reports/phantom/metrics.json"]["data"]
    assert set(numbers["accuracy"]) == {"real", "real-long", "diffusion", "synthetic-only", *FURTHER}
    clone("dvc", "metrics", "diff", "HEAD~1")
    clone("dvc", "plots", "show", "--out", "work/plots")
    assert (clone.folder / "work/plots/index.html").exists()


def test_a_generator_sees_its_cell_only(clone):
    """What a generator was given is recorded by its digest: it must be that of the k-shot subset, and of nothing else."""
    script = (
        "from unittest import mock\n"
        "from fetalkit.config import params\n"
        "from fetalkit.data import study\n"
        "from fetalkit.experiments import synthesis\n"
        "import numpy as np\n"
        "settings = params.load('phantom')\n"
        "seen = []\n"
        "class Spy:\n"
        "    losses, seconds, device = [0.0], 0.0, __import__('torch').device('cpu')\n"
        "    def describe(self): return {}\n"
        "    def fit(self, images, labels, **_): seen.append((images.copy(), labels.copy()))\n"
        "    def save(self, folder): pass\n"
        "with mock.patch('fetalkit.generators.create', lambda *_, **__: Spy()):\n"
        "    synthesis.train('phantom', settings, 'diffusion', '3', 1)\n"
        "data = study.Study('phantom', settings)\n"
        "names = set(data.shots[(data.shots.k == '3') & (data.shots.seed == 1)].image_id)\n"
        "rows = data.table[data.table.image_id.isin(names)]\n"
        "assert len(rows) == 18 and set(rows.part) == {'train'}\n"
        "(images, labels), = seen\n"
        "assert np.array_equal(images, data.store[rows.index]) and np.array_equal(labels, data.labels(rows))\n"
    )
    clone(sys.executable, "-c", script)


def test_a_pull_into_a_fresh_clone_reruns_nothing(clone, tmp_path):
    clone("dvc", "remote", "add", "--force", "--default", "--local", "store", str(tmp_path / "store"))
    clone("dvc", "push")
    fresh = tmp_path / "fresh"
    clone("git", "clone", "--quiet", str(clone.folder), str(fresh))

    def there(*command):
        return subprocess.run(command, cwd=fresh, capture_output=True, text=True, env=clone.environment(), check=True)

    there("dvc", "remote", "add", "--default", "--local", "store", str(tmp_path / "store"))
    there("dvc", "pull")
    again = there("dvc", "repro")
    assert clone.executed(again) == []
    assert there("git", "status", "--porcelain").stdout == ""


def test_cohorts_live_side_by_side(clone):
    """Adding a cohort is one package, one section and one copy of the pipeline; the others stay untouched."""
    package = clone.folder / "fetalkit" / "cohorts" / "other"
    package.mkdir()
    (package / "__init__.py").write_text(
        '"""Another one."""\n\nfrom fetalkit.cohorts.phantom import Phantom\n\nCOHORT = Phantom()\n'
    )
    content = yaml.safe_load((clone.folder / "params.yaml").read_text())
    content["other"] = content["phantom"] | {"cohort": content["phantom"]["cohort"] | {"seed": 9}}
    (clone.folder / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    clone("make", "--always-make", "--old-file=dvc.yaml", "reports/other/dvc.yaml")
    ran = clone("dvc", "repro", "reports/other/dvc.yaml:split")
    assert [name.split(":")[-1] for name in clone.executed(ran)] == ["audit", "split"]
    assert (clone.folder / "data/other/splits/splits.csv").exists()
    index = [clone.table("data", name, "cohort", "index.csv").sha256 for name in ("phantom", "other")]
    assert set(index[0]).isdisjoint(index[1])
    assert clone.executed(clone("dvc", "repro")) == []


def test_only_what_a_change_affects_runs_again(clone):
    clone.change(phantom={"report": {"bootstrap_resamples": 300}})
    assert clone.executed(clone("dvc", "repro")) == ["summarise", "publish"]
    clone.change(phantom={"classify": {"train_steps": 5}})
    # The network in whose features fidelity is measured is one of the grid's.
    assert sorted(clone.executed(clone("dvc", "repro"))) == ["classify", "fidelity", "publish", "summarise"]


def test_a_bad_parameter_stops_with_one_line(clone):
    before = (clone.folder / "params.yaml").read_text()
    clone.change(phantom={"classify": {"train_steps": -1}})
    failed = clone("dvc", "repro", check=False)
    (clone.folder / "params.yaml").write_text(before)
    assert failed.returncode != 0
    lines = [line for line in failed.stderr.splitlines() if "fetalkit:" in line]
    assert len(lines) == 1
    assert "params.yaml: phantom.classify.train_steps = -1" in lines[0]
    assert "Traceback" not in failed.stderr
