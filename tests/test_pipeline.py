"""The whole study, small: every notebook through real papermill and real ``dvc repro`` in a temporary clone."""

import json
import subprocess
import sys

import numpy as np
import pytest
import yaml
from small_clone import FURTHER, ROOT, Clone

from fetalkit.reporting import overview

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """The clone after its first ``dvc repro``."""
    clone = Clone(tmp_path_factory.mktemp("study") / "clone")
    clone("dvc", "repro")
    clone.commit()
    return clone


def test_the_report_is_there(clone):
    report = clone.folder / "data" / "phantom" / "pages"
    pages = {path.name for path in report.glob("*.html")}
    assert pages == {"index.html"} | {f"{path.stem}.html" for path in (ROOT / "notebooks").glob("0[1-8]*.ipynb")}
    assert all(path.stat().st_size < 3_000_000 for path in report.glob("*.html"))
    assert not (report / "figures").exists(), "every figure is stored once, in its page"
    assert not (clone.folder / "reports").exists(), "a run writes where git does not look"


def test_the_long_table_has_every_run(clone):
    table = clone.table("data", "phantom", "pages", "results.csv")
    assert list(table.columns) == ["cohort", "arm", "classifier", "k", "seed", "metric", "value"]
    assert not table.duplicated(["arm", "classifier", "k", "seed", "metric"]).any()
    runs = table.groupby(["arm", "classifier", "k", "seed"]).size()
    # Four arms in every run, nine more with three images per plane and one of the classifiers.
    assert len(runs) == 4 * 2 * 2 * 2 + 9 * 2
    assert table[table.metric == "accuracy"].value.between(0, 1).all()
    assert len(table[table.metric == "accuracy"]) == 50


def test_the_summary_is_complete(clone):
    summary = json.loads((clone.folder / "data/phantom/pages/summary.json").read_text())
    splits = clone.table("data", "phantom", "pages", "splits.csv")
    assert summary["cohort"] == "phantom"
    assert summary["n_test"] == ((splits.part == "test") & splits.dropped.isna()).sum() == 48
    assert summary["n_train"] + summary["n_validation"] == 96
    assert (summary["patients_train"] + summary["patients_validation"], summary["patients_test"]) == (16, 8)
    assert set(summary["duplicates"]) >= {"pairs", "cross_split"}
    assert summary["seeds"] == [0, 1]
    assert summary["wall_seconds"] > 0
    assert summary["test_readings"] == 3 and summary["failed_runs"] == []
    assert set(summary["headline"]["generator"]["diffusion"]["by_k"]) == {"3", "all"}
    (named,) = summary["headline"]["primary"]
    assert (named["arm"], named["k"], named["n_runs"]) == ("diffusion", "3", 4) and named["p_holm"] == named["p"]
    assert named["flops"] > 0 and summary["headline"]["claimed"]["full"] == 5.2
    measured = {"accuracy", "accuracy_control", "gain", "low", "high", "p", "n_runs", "controls"}
    for arm, of in summary["headline"]["arms"].items():
        for over in (of, of["over_real"], of["over_real_long"]):
            assert set(over["few_shot"]) == measured
            assert (over["full"] is None) == (arm != "diffusion")
        assert of["few_shot"]["n_runs"] == (4 if arm == "diffusion" else 2)
    results = clone.table("data", "phantom", "pages", "results.csv")
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
    report = clone.folder / "data/phantom/pages"
    content = json.loads((report / "transfer.json").read_text())
    assert content["failed_runs"] == []
    (direction,) = content["directions"].values()
    assert {level: set(of) for level, of in direction.items()} == {
        "none": {"unaligned", "standard-outline", "synthetic-source"},
        "unlabelled": {"pseudo-label", "coral", "synthetic-target"},
        "labelled": {"joint"},
    }
    table = clone.table("data", "phantom", "pages", "transfer.csv")
    assert table[table.metric == "accuracy"].value.between(0, 1).all() and table.method.nunique() == 7
    assert len(clone.table("data", "phantom", "pages", "test_readings.csv")) == 3
    assert 'href="08_transfer.html"' in (report / "index.html").read_text()


def test_budgets_are_those_of_the_arms(clone):
    """P = 3 and N = 4: every arm spends both, but for the control of the paper and the arm that stops before real images."""
    budgets = clone.table("data", "phantom", "pages", "budgets.csv")
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
    report = clone.folder / "data" / "phantom" / "pages"
    content = json.loads((report / "fidelity.json").read_text())
    copies, recognised, by_k = (content.pop(key) for key in ("memorisation", "recognised", "recognised_by_k"))
    learnt = content.pop("cas_share")
    assert set(learnt) == {"diffusion", "simulation"} and all(share >= 0 for share in learnt.values())
    assert set(recognised) == {"diffusion", "simulation", "real_test"} and set(by_k) == {"3", "all"}
    assert all(len(of) == 7 and 0 <= min(of.values()) <= max(of.values()) <= 1 for of in recognised.values())
    assert set(copies) == {"diffusion", "simulation"} and len(content) == 2  # the generators at the largest k
    for by_set in content.values():
        assert set(by_set) == {"diffusion", "simulation", "real_train"}
        assert all(of["n"] == 4 * 6 and of["fd"] > 0 for of in by_set.values())
    # Two seeds of four images of six planes.
    assert all(of["n"] == 48 and of["low"] <= of["share"] <= of["high"] for of in copies.values())
    sets = clone.table("data", "phantom", "fidelity", "sets.csv")
    # In two feature spaces: two generators of four subsets each, three more in the two with three images per plane.
    assert len(sets) == 2 * (2 * 4 + 3 * 2) and not sets.duplicated(["generator", "k", "seed", "feature_space"]).any()
    assert sets[["share", "fd"]].notna().all(axis=None)
    planes = (
        clone.table("data", "phantom", "pages", "fidelity.csv").groupby(["feature_space", "set", "k", "seed"]).plane
    )
    assert (planes.nunique() == 7).all()
    names = {f"{name}-k{k}-seed{seed}" for name in ("diffusion", "simulation") for k in (3, "all") for seed in (0, 1)}
    names |= {f"{name}-k3-seed{seed}" for name in ("diffusion-phantoms", "gan", "interpolation") for seed in (0, 1)}
    assert {path.name for path in (report / "cards").iterdir()} == {*names, "index.html"}
    for name in names:
        trained = name.startswith(("diffusion", "gan"))
        assert (report / "cards" / name / "generator.md").exists() == trained
        assert "Measured on this very set." in (report / "cards" / name / "dataset.md").read_text()
    page = (report / "06_fidelity.html").read_text()
    assert all(f'href="cards/{name}/dataset.html"' in page for name in names)
    assert 'href="06_fidelity.html"' in (report / "index.html").read_text()


def test_a_second_repro_does_nothing(clone):
    again = clone("dvc", "repro")
    assert clone.executed(again) == []
    assert clone("git", "status", "--porcelain").stdout == ""


def test_metrics_and_plots(clone):
    shown = json.loads(clone("dvc", "metrics", "show", "--json").stdout)
    numbers = shown[""]["data"]["data/phantom/pages/metrics.json"]["data"]
    assert set(numbers["accuracy"]) == {"real", "real-long", "diffusion", "synthetic-only", *FURTHER}
    clone("dvc", "metrics", "diff", "HEAD~1")
    clone("dvc", "plots", "show", "--out", "work/plots")
    assert (clone.folder / "work/plots/index.html").exists()


def test_a_generator_sees_its_subset_only(clone):
    """What a generator was given is recorded: it must be the k-shot subset, and nothing else."""
    script = (
        "from unittest import mock\n"
        "from fetalkit import generators\n"
        "from fetalkit.config import params\n"
        "from fetalkit.data import study\n"
        "from fetalkit.experiments import generator_training, outputs\n"
        "import numpy as np\n"
        "settings = params.load('phantom')\n"
        "seen = []\n"
        "def fit(self, images, labels, **_):\n"
        "    seen.append((images.copy(), labels.copy()))\n"
        "    raise KeyboardInterrupt\n"
        "with mock.patch.object(generators.Generator, 'fit', fit), mock.patch.object(outputs, 'fingerprint', lambda _: ''):\n"
        "    try:\n"
        "        generator_training.train('phantom', settings, 'diffusion', '3', 1)\n"
        "    except KeyboardInterrupt:\n"
        "        pass\n"
        "data = study.Study('phantom', settings)\n"
        "names = set(data.shots[(data.shots.k == '3') & (data.shots.seed == 1)].image_id)\n"
        "rows = data.table[data.table.image_id.isin(names)]\n"
        "assert len(rows) == 18 and set(rows.part) == {'train'}\n"
        "(images, labels), = seen\n"
        "assert np.array_equal(images, data.store.images(rows.image_id)) and np.array_equal(labels, data.labels(rows))\n"
    )
    clone(sys.executable, "-c", script)


def _stages(clone):
    """Name → stage, with the cohort's name in place."""
    text = (clone.folder / "dvc.yaml").read_text().replace("${cohort}", "phantom")
    return yaml.safe_load(text)["stages"]


def _name(out):
    return out if isinstance(out, str) else next(iter(out))


def test_stages_read_what_they_list_and_no_more(clone):
    """Every file below data/ that a stage opened is a dependency of it, or an output of its own."""
    opened = clone.opened()
    for name, stage in _stages(clone).items():
        allowed = [*map(_name, stage["deps"]), *map(_name, stage["outs"])]
        # Source files are known by their contents (source.json), and finished trainings by what made them.
        allowed += ["data/phantom/source", "data/phantom/trainings"]
        read = {path for path in opened.get(name, ()) if "/." not in path}  # hidden: half-written files of its own
        extra = {path for path in read if not any(path == of or path.startswith(f"{of}/") for of in allowed)}
        assert not extra, f"{name} reads {sorted(extra)[:5]}"
    assert set(opened) >= set(_stages(clone)) - {"fetch"}


CHANGED = """
import copy, json, sys, yaml
from dvc.dependency.param import ParamsDependency
from dvc.repo import Repo
text = open("params.yaml").read()
content = yaml.safe_load(text)
# What `dvc status` and `dvc repro` ask of each stage, without the files, which are the same every time.
asked = [
    (stage.addressing, of) for stage in Repo(".").index.stages for of in stage.deps if isinstance(of, ParamsDependency)
]
changed = {}
try:
    for path in json.loads(sys.argv[1]):
        other = copy.deepcopy(content)
        at = other
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = "another value"
        open("params.yaml", "w").write(yaml.safe_dump(other, sort_keys=False))
        changed[".".join(map(str, path))] = sorted(
            {stage for stage, of in asked if of.def_path == "params.yaml" and of.status()}
        )
finally:
    open("params.yaml", "w").write(text)
print(json.dumps(changed))
"""


def _leaves(value, path=()):
    if isinstance(value, dict) and value:
        for key, of in value.items():
            yield from _leaves(of, (*path, key))
    else:
        yield path


def test_every_parameter_makes_the_stages_run_that_list_it(clone):
    """Each single leaf of params.yaml is listed; DVC is asked what it would run for one leaf of every entry of a list."""
    content, stages = yaml.safe_load((clone.folder / "params.yaml").read_text(encoding="utf-8")), _stages(clone)
    others = {name for name, of in content.items() if isinstance(of, dict) and "cohort" in of} - {"phantom"}
    leaves = [path for path in _leaves(content) if path[0] not in others and path[:2] != ("transfer", "hospitals")]
    assert len(leaves) > 150
    listing, asked = {}, {}
    for path in leaves:
        key = ".".join(map(str, path))
        entries = {
            (name, param)
            for name, stage in stages.items()
            for param in stage.get("params", [])
            if key == param or key.startswith(f"{param}.")
        }
        assert entries or path[0] == "run", f"{key} makes no stage run"
        listing[key] = {name for name, _ in entries}
        asked.setdefault(frozenset(entries), path)
    done = clone(sys.executable, "-c", CHANGED, json.dumps([*asked.values()]))
    changed = json.loads(done.stdout.splitlines()[-1])
    assert len(changed) == len(asked) > 20
    for key, run in changed.items():
        assert set(run) == listing[key], key


@pytest.mark.long
def test_a_pull_into_a_fresh_clone_trains_nothing_after_a_change_of_a_caption(clone, tmp_path):
    clone("dvc", "remote", "add", "--force", "--default", "--local", "store", str(tmp_path / "store"))
    clone("dvc", "push")
    fresh = tmp_path / "fresh"
    clone("git", "clone", "--quiet", str(clone.folder), str(fresh))

    def there(*command):
        environment = clone.environment() | {"PYTHONPATH": str(fresh)}
        return subprocess.run(command, cwd=fresh, capture_output=True, text=True, env=environment, check=True)

    there("dvc", "remote", "add", "--default", "--local", "store", str(tmp_path / "store"))
    there("dvc", "pull")
    assert clone.executed(there("dvc", "repro")) == []
    assert there("git", "status", "--porcelain").stdout == ""
    for name in ("04_generator", "05_synthesis", "07_classify"):
        notebook = fresh / "notebooks" / f"{name}.ipynb"
        text = notebook.read_text(encoding="utf-8")
        assert "display.figure(" in text
        notebook.write_text(text.replace("first", "very first", 1).replace("seed", "seed ", 1), encoding="utf-8")
    before = {path: path.stat().st_mtime_ns for path in _trained(fresh)}
    ran = clone.executed(there("dvc", "repro"))
    assert {"train-generators", "synthesise", "classify", "report"} <= set(ran)
    assert {path: path.stat().st_mtime_ns for path in _trained(fresh)} == before, "something was trained or drawn again"
    assert not list((fresh / "work" / "phantom").glob("phases/*")) and not list(fresh.glob("work/*/generators/*"))


def _trained(folder):
    """Weights, records and sets in the outputs of the stages."""
    data = folder / "data" / "phantom"
    patterns = ("trainings/*/*/phase.json", "generators/*/training.json", "synthetic/*.npz", "transfer_sets/*.npz")
    return sorted(path for pattern in patterns for path in data.glob(pattern))


def test_another_image_size_is_decoded_and_never_comes_back_from_the_run_cache(clone):
    store = clone.folder / "data" / "phantom" / "images" / "images.npy"
    clone.change(phantom={"images": {"image_size": 24}})
    assert clone.executed(clone("dvc", "repro", "decode")) == ["decode"]
    assert np.load(store).shape[1:] == (24, 24)
    clone.change(phantom={"images": {"image_size": 32}})
    clone("dvc", "repro", "decode")
    assert np.load(store).shape[1:] == (32, 32)
    clone.commit()


@pytest.mark.long
def test_cohorts_live_side_by_side(clone):
    """Adding a cohort of a known kind is one section; the others stay untouched."""
    content = yaml.safe_load((clone.folder / "params.yaml").read_text())
    other = json.loads(json.dumps(content["phantom"]))
    other["cohort"] |= {"seed": 9, "kind": "phantom"}
    clone.change(other=other)
    ran = clone(sys.executable, "-m", "fetalkit", "repro", "other", "split")
    assert [name.split(":")[-1] for name in clone.executed(ran)] == ["audit", "split"]
    assert (clone.folder / "data/other/splits/splits.csv").exists()
    index = [clone.table("data", name, "cohort", "index.csv").sha256 for name in ("phantom", "other")]
    assert set(index[0]).isdisjoint(index[1])
    assert clone("git", "status", "--porcelain").stdout.split() == ["M", "params.yaml"], "a run leaves git as it was"
    assert clone.executed(clone("dvc", "repro")) == []
    clone.commit()


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


OWN = """
def explode(images, generator):
    raise RuntimeError("the probe fell down")
"""


@pytest.fixture(scope="module")
def changed(clone):
    """What the next ``dvc repro`` ran, after trainings have become longer and an arm of one's own has been added.

    Its augmentation lies outside the package, and fails.
    """
    (clone.folder / "own_augmentation.py").write_text(OWN)
    clone.change(
        arms={
            "exploding": {
                "title": "an arm of one's own",
                "headline": True,
                "phases": [{"source": "real", "steps": "P + N", "augmentation": "own_augmentation:explode"}],
            }
        },
        phantom={
            "classify": {
                "train_steps": 5,
                "further": [{"arms": [*FURTHER, "exploding"], "shots": [3], "classifiers": ["resnet10t"]}],
            }
        },
    )
    return clone.executed(clone("dvc", "repro"))


@pytest.mark.long
def test_only_what_a_change_affects_runs_again(changed):
    # Another arm may need other generators: their stages look, and find all there. Fidelity is measured in the features of one
    # of the study's runs.
    assert sorted(changed) == ["classify", "fidelity", "report", "summarise", "synthesise", "train-generators"]


@pytest.mark.long
def test_a_failing_run_is_seen_from_the_training_to_the_readme(clone, changed):
    """A gap everywhere, and the reason."""
    pages = clone.folder / "data" / "phantom" / "pages"
    table = clone.table("data", "phantom", "pages", "results.csv")
    assert table[table.arm == "exploding"].value.isna().all() and len(table[table.arm == "exploding"]) > 20
    assert table[(table.arm != "exploding") & (table.metric == "accuracy")].value.notna().all()
    summary = json.loads((pages / "summary.json").read_text())
    failed = [f"exploding_resnet10t_k3_seed{seed}" for seed in (0, 1)]
    assert summary["failed_runs"] == failed
    assert summary["headline"]["arms"]["exploding"]["few_shot"]["gain"] is None
    assert summary["arms"]["exploding"]["resnet10t"]["3"]["accuracy"]["mean"] is None
    for page in ("index.html", "07_classify.html"):
        text = (pages / page).read_text()
        assert all(name in text for name in failed), page
    assert "the probe fell down" in (pages / "07_classify.html").read_text()
    clone(sys.executable, "-m", "fetalkit", "publish", "phantom")
    clone(sys.executable, "-m", "fetalkit", "readme")
    published = (clone.folder / "reports/phantom/index.html").read_bytes()
    assert published == overview.linked((pages / "index.html").read_bytes())
    assert "[phantom](reports/phantom/index.html)" in (clone.folder / "README.md").read_text()
