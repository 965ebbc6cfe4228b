"""The tables and the figure of README.md: what is published, and a failed run shown as one."""

import copy
import io
import json
import re

import pandas as pd
import pytest
from matplotlib import pyplot as plt
from PIL import Image

from fetalkit.metrics.features import IMAGENET
from fetalkit.plots import readme as plots
from fetalkit.plots.palette import PAPER
from fetalkit.reporting import readme
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError


def entry(*accuracies):
    missing = None in accuracies
    mean = None if missing else sum(accuracies) / len(accuracies)
    return {"10": {"accuracy": {"mean": mean, "per_seed": {str(seed): value for seed, value in enumerate(accuracies)}}}}


def gain(control, better, value=1.25, classifier="mean of all"):
    row = {"arm": "diffusion", "k": "10", "classifier": classifier, "control": control, "better_control": better}
    return row | {"gain": value, "low": value - 1, "high": value + 1}


SUMMARY = {
    "cohort": "africa",
    "n_test": 12,
    "patients_test": 5,
    "shots": ["10"],
    "arms": {
        "real": {"resnet": entry(0.5, 0.7), "vit": entry(0.4, 0.4)},
        "real-long": {"resnet": entry(0.6, 0.7), "vit": entry(0.5, 0.4)},
        "diffusion": {"resnet": entry(0.6, 0.8), "vit": entry(0.5, 0.4)},
    },
    "gains": [
        gain("real", False, 7.0),
        gain("real-long", True, 9.0, "resnet"),
        gain("real-long", True),
    ],
    "headline": {
        "diffusion": {"few_shot": {"gain": 1.25, "low": 0.25, "high": 2.25, "p_holm": 0.01}, "full": None},
        "own-arm": {"few_shot": {"gain": -1.0, "low": None, "high": None, "p_holm": None}, "full": None},
    },
}
CHOSEN = {
    "view": "a to b",
    "level": "none",
    "classifiers": "one, two",
    "among": "unaligned, x, y",
    "failed": "",
    "method": "y",
    "accuracy": 0.81,
    "baseline": "unaligned",
    "baseline_accuracy": 0.7,
    "gain": 11.0,
    "gain_low": 4.0,
    "gain_high": 18.0,
}


@pytest.fixture
def publish(elsewhere):
    """Write summaries of published reports."""

    def write(**summaries):
        for folder, summary in summaries.items():
            paths.reports(folder).mkdir(parents=True, exist_ok=True)
            paths.reports(folder, "summary.json").write_text(json.dumps(summary))

    return write


def rows(table):
    return [line.strip("| \n").split(" | ") for line in table.splitlines()]


def test_results_are_means_over_runs_beside_the_gain_over_the_better_control(publish):
    publish(africa=SUMMARY, transfer={"directions": {}})
    header, line, row = rows(readme.results())
    assert header[3:6] == ["real", "real-long", "diffusion"] and set("".join(line)) == set("|-")
    assert row == [
        *("[africa](reports/africa/index.html)", "10", "12 (5)"),
        *("50.0 %", "55.0 %", "57.5 %"),
        *("+1.2 (+0.2\u00a0to\u00a0+2.2)", "real-long", "–", "–"),
    ]


def test_results_tell_how_good_the_synthetic_images_were(publish):
    publish(africa=SUMMARY)
    columns = ["feature_space", "set", "k", "plane", "fd"]
    spaces = [IMAGENET, IMAGENET, IMAGENET, IMAGENET, "own"]
    rows_of = zip(spaces, ["diffusion"] * 3 + ["real_train", "diffusion"], ["10", "10", "5", "", "10"], strict=True)
    table = pd.DataFrame(
        [(*row, "all", fd) for row, fd in zip(rows_of, [90.0, 100.0, 1.0, 40.4, 2.0], strict=True)], columns=columns
    )
    table.to_csv(paths.reports("africa", "fidelity.csv"), index=False)
    assert rows(readme.results())[-1][-2:] == ["–", "95 (40)"]
    recognised = {"10": {"diffusion": {"all": 0.716}, "real_test": {"all": 0.81}}}
    paths.reports("africa", "fidelity.json").write_text(json.dumps({"recognised_by_k": recognised}))
    assert rows(readme.results())[0][-2:] == ["recognised, % (real)", "FD (real)"]
    assert rows(readme.results())[-1][-2:] == ["72 (81)", "95 (40)"]


def test_a_failed_run_is_shown_and_no_mean_is_taken_over_the_others(publish):
    summary = copy.deepcopy(SUMMARY)
    summary["arms"]["diffusion"]["vit"] = entry(0.5, None)
    summary["gains"][-1] |= {"gain": None, "low": None, "high": None}
    publish(africa=summary)
    row = rows(readme.results())[-1]
    assert row[3:] == ["50.0 %", "55.0 %", "failed (1 of 4 runs)", "– (a run failed)", "real-long", "–", "–"]
    summary["arms"]["real"] = {"resnet": entry(None, None)}
    del summary["arms"]["diffusion"]
    summary["gains"] = [{**gain("real", False), "arm": "gan"}, {**gain("real-long", True), "arm": "gan"}]
    publish(africa=summary)
    row = rows(readme.results())[-1]
    assert row[3:] == ["failed (2 of 2 runs)", "55.0 %", "not run", "not run", "–", "–", "–"]


def test_primary_comparisons_stand_with_their_one_corrected_p_and_the_power(publish):
    assert "No published study has named" in readme.primary()
    named = {"level": "L2", "arm": "diffusion", "control": "real-long", "classifier": "mean", "k": "10", "p": 0.001}
    measured = named | {"gain": 5.6, "low": 1.0, "high": 10.2, "p_holm": 0.0004, "smallest_detectable_gain": 4.2}
    failed = named | dict.fromkeys(("gain", "low", "high", "p_holm", "smallest_detectable_gain"))
    headline = {"primary": [measured, failed], "generator": {}, "best": [], "arms": SUMMARY["headline"]}
    publish(africa=SUMMARY | {"headline": headline})
    first = ["[africa](reports/africa/index.html)", "L2", "10", "mean", "diffusion", "real-long"]
    assert rows(readme.primary())[2:] == [
        [*first, "+5.6 (+1.0\u00a0to\u00a0+10.2)", "<\u00a00.001", "4.2"],
        [*first, "– (a run failed)", "–", "–"],
    ]


def test_a_classifier_that_has_not_converged_is_in_no_mean(publish):
    publish(africa=SUMMARY | {"unconverged": [{"classifier": "vit", "k": "10"}, {"classifier": "resnet", "k": "5"}]})
    assert rows(readme.results())[-1][3:6] == ["60.0 %", "65.0 %", "70.0 %"]
    late = [{"classifier": name, "k": "10"} for name in ("vit", "resnet")]
    publish(africa=SUMMARY | {"unconverged": late})
    assert rows(readme.results())[-1][3:6] == 3 * ["not converged"]


def test_a_gain_without_an_interval_says_so(publish):
    summary = copy.deepcopy(SUMMARY)
    summary["gains"][-1] |= {"low": None}
    publish(africa=summary)
    assert rows(readme.results())[-1][-4] == "+1.2 (no interval)"


def test_the_transfer_table_takes_what_is_chosen_and_names_those_that_failed(publish):
    chosen = [
        CHOSEN,
        CHOSEN | {"classifiers": "one", "method": "x"},  # of one classifier: left to the page
        CHOSEN | {"level": "unlabelled", "among": "x, y", "failed": "x, y", "method": ""},
        CHOSEN
        | {"level": "labelled", "among": "x, y", "failed": "x", "gain": None, "gain_low": None, "gain_high": None},
        CHOSEN | {"view": "a to c"},
    ]
    assert "Not run yet" in readme.transfer()
    publish(old={"directions": {}})  # of an edition that chose on test images
    assert readme.transfer().startswith("Not run yet. Published, but by an edition that chose methods on test images")
    assert readme.transfer().endswith("[old](reports/old/index.html).\n")
    publish(hospitals={"directions": {}, "chosen": chosen}, africa=SUMMARY)
    link = "[a to b](reports/hospitals/index.html)"
    assert rows(readme.transfer())[2:] == [
        [link, "none", "y (of 3)", "81.0 %", "unaligned 70.0 %", "+11.0 (+4.0\u00a0to\u00a0+18.0)"],
        [link, "unlabelled", "– (of 2; failed: x, y)", "–", "–", "–"],
        [link, "labelled", "y (of 2; failed: x)", "81.0 %", "unaligned 70.0 %", "–"],
        [
            "[a to c](reports/hospitals/index.html)",
            "none",
            "y (of 3)",
            "81.0 %",
            "unaligned 70.0 %",
            "+11.0 (+4.0\u00a0to\u00a0+18.0)",
        ],
    ]


def panel(figure):
    """Places of points, intervals and words of the first panel, by arm."""
    axis = figure.axes[0]
    arms = [label.get_text() for label in axis.get_yticklabels()]
    drawn = [(line.get_xdata(), line.get_ydata()) for line in axis.lines[1:]]
    points = [(arms[round(y[0])], x[0]) for x, y in drawn if len(x) == 1]
    intervals = [(arms[round(y[0])], *x) for x, y in drawn if len(x) == 2]
    return points, intervals, [text.get_text() for text in axis.texts]


def test_the_figure_shows_every_arm_of_the_headline_and_marks_failures():
    figure = plots.gains({"africa": SUMMARY["headline"], "spain": {}})
    points, intervals, words = panel(figure)
    assert points == [("diffusion", 1.25), ("own-arm", -1.0)]
    assert intervals == [("diffusion", 0.25, 2.25)] and not words
    dots = [line for line in figure.axes[0].lines[1:] if len(line.get_xdata()) == 1]
    assert {dot.get_markerfacecolor() for dot in dots} == {PAPER}, "exploratory gains bear no mark of a test"

    broken = copy.deepcopy(SUMMARY["headline"])
    broken["diffusion"]["few_shot"] |= {"gain": None, "low": None, "high": None, "p_holm": None}
    points, intervals, words = panel(plots.gains({"africa": broken}))
    assert points == [("own-arm", -1.0)] and not intervals and words == ["× failed"]
    plt.close("all")


def test_update_writes_tables_and_figure_all_or_nothing(publish, elsewhere):
    publish(africa=SUMMARY)
    (elsewhere / "benchmarks").mkdir()
    (elsewhere / "benchmarks" / "results.json").write_text("{}")
    for page, names in readme.PAGES.items():
        marks = [f"<!-- {name}: `make readme` writes this table -->\nold\n<!-- end of {name} -->\n" for name in names]
        (elsewhere / page).parent.mkdir(exist_ok=True)
        (elsewhere / page).write_text("Before\n" + "between\n".join(marks) + "after\n")
    readme.update()
    text = (elsewhere / "README.md").read_text()
    assert "| 57.5 % | +1.2 (+0.2\u00a0to\u00a0+2.2) |" in text and "old" not in text
    assert text.startswith("Before\n") and text.endswith("after\n") and text.count("between") == 3
    figure = (elsewhere / readme.FIGURE).read_bytes()
    with Image.open(io.BytesIO(figure)) as picture:
        assert picture.width > 600
    readme.update()
    assert (elsewhere / readme.FIGURE).read_bytes() == figure and (elsewhere / "README.md").read_text() == text

    (elsewhere / list(readme.PAGES)[-1]).write_text("no marks")
    publish(africa=SUMMARY | {"n_test": 99})
    with pytest.raises(FetalkitError, match=r"the lines <!-- .* are missing; put them where the table belongs"):
        readme.update()
    assert (elsewhere / "README.md").read_text() == text


def test_the_readme_shows_the_published_results():
    for page in readme.PAGES:
        text = (paths.ROOT / page).read_text()
        assert readme.updated(page, text) == text, "run `make readme`"
    assert len(readme.results().splitlines()) > 2, "no report is published"
    text = (paths.ROOT / "README.md").read_text()
    assert f"]({readme.FIGURE})" in text and (paths.ROOT / readme.FIGURE).is_file()
    assert not re.search(r"\]\(reports/\S+\.(png|svg)\)", text), "figures of a report are in its pages alone"


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        (None, None, "reports: no study is published there; `fetalkit publish` does that"),
        ("reports/africa/summary.json", "{", "africa/summary.json: damaged"),
        ("reports/africa/summary.json", '{"shots": ["10"], "cohort": "africa"}', "is damaged or of another edition (KeyError"),
        ("benchmarks/results.json", "[1", "benchmarks/results.json: damaged"),
        ("benchmarks/results.json", '{"simulator": 5}', "is damaged or of another edition (TypeError"),
    ],
)  # fmt: skip
def test_what_is_not_published_or_damaged_is_one_line_and_the_tables_stay(file, content, words, publish, elsewhere):
    for page in readme.PAGES:
        (elsewhere / page).parent.mkdir(exist_ok=True)
        (elsewhere / page).write_text((paths.PARAMS.parent / page).read_text())
    if file is not None:
        publish(africa=SUMMARY)
        (elsewhere / file).parent.mkdir(exist_ok=True)
        (elsewhere / file).write_text(content)
    before = {page: (elsewhere / page).read_text() for page in readme.PAGES}
    with pytest.raises(FetalkitError) as error:
        readme.update()
    assert words in str(error.value) and "\n" not in str(error.value)
    assert {page: (elsewhere / page).read_text() for page in readme.PAGES} == before
