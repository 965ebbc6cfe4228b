"""The reader study: a fair quiz, a right score, a form that works, and a notebook that runs with and without a person."""

import os
import shutil
from collections import Counter
from pathlib import Path

import nbformat
import numpy as np
import pytest
import small_study
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell

from fetalkit.experiments import reader_study
from fetalkit.experiments.reader_study import REAL, SYNTHETIC, Quiz
from fetalkit.reporting.reader_form import Form
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError

ROOT = Path(__file__).parents[1]
OTHER = {REAL: SYNTHETIC, SYNTHETIC: REAL}


@pytest.fixture
def study(elsewhere):
    return small_study.write()[0]


def quiz_of(*truth, planes=None):
    images = np.arange(len(truth) * 64, dtype=np.uint8).reshape(-1, 8, 8)
    return Quiz("a quiz", images, planes or ("a",) * len(truth), truth, tuple(map(str, range(len(truth)))))


def test_all_right_all_wrong_and_half():
    quiz = quiz_of(*[REAL, SYNTHETIC] * 20)
    score = quiz.score(quiz.truth)
    assert (score.answered, score.right, score.accuracy, score.sensitivity, score.specificity) == (40, 40, 1, 1, 1)
    # Wilson's interval at 40 of 40 and at 20 of 40, z = 1.96: (40 + z²/2) / (40 + z²) ± ...
    assert (score.low, score.high) == pytest.approx((0.9124, 1.0), abs=1e-4)
    assert score.p == pytest.approx(2 * 0.5**40)
    score = quiz.score([OTHER[kind] for kind in quiz.truth])
    assert (score.right, score.accuracy, score.sensitivity, score.low) == (0, 0, 0, 0)
    assert score.p == pytest.approx(2 * 0.5**40)
    score = quiz.score([SYNTHETIC] * 40)
    assert (score.right, score.accuracy, score.sensitivity, score.specificity, score.p) == (20, 0.5, 1, 0, 1)
    assert (score.low, score.high) == pytest.approx((0.3520, 0.6480), abs=1e-4)


def test_images_without_a_mark_are_left_out_and_counted():
    quiz = quiz_of(REAL, SYNTHETIC, REAL, SYNTHETIC, planes=("a", "a", "b", "b"))
    score = quiz.score([REAL, None, SYNTHETIC, None])
    assert (score.answered, score.unanswered, score.right, score.accuracy) == (2, 2, 1, 0.5)
    assert np.isnan(score.sensitivity) and score.specificity == 0.5
    assert score.planes.values.tolist() == [["a", 1, 1, 1.0], ["b", 1, 0, 0.0]]
    assert "1 of 2 right: accuracy 50 %" in str(score) and "2 without a mark are left out" in str(score)
    score = quiz.score([None] * 4)
    assert (score.answered, score.low, score.high, score.p) == (0, 0, 1, 1) and np.isnan(score.accuracy)
    assert str(score) == "No image is marked. 4 without a mark are left out." and score.planes.empty
    for answers in ([REAL] * 3, [REAL, REAL, REAL, "perhaps"]):
        with pytest.raises(ValueError, match="4 answers are needed"):
            quiz.score(answers)


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 14, 40])
def test_a_quiz_is_balanced(study, count):
    quiz = reader_study.draw(study, count, seed=1)
    kinds = Counter(zip(quiz.planes, quiz.truth, strict=True))
    each = [kinds[plane, REAL] for plane in study.planes]
    assert each == [kinds[plane, SYNTHETIC] for plane in study.planes]
    assert sum(each) == count // 2 and max(each) - min(each) <= 1
    assert len(set(zip(quiz.truth, quiz.origin, strict=True))) == count == len(quiz.images)


def test_real_images_are_kept_test_images_and_synthetic_ones_those_of_the_set(study):
    quiz = reader_study.draw(study, 2 * 10 * len(study.planes), seed=0)
    table = study.table.set_index("image_id")
    splits = study.params.splits
    drawn = study.synthetic("diffusion", splits.shots.largest, splits.seeds[0])
    for image, plane, truth, origin in zip(quiz.images, quiz.planes, quiz.truth, quiz.origin, strict=True):
        if truth == REAL:
            assert (table.part[origin], table.dropped[origin], table.plane[origin]) == ("test", "", plane)
            assert (image == study.store.images([origin])[0]).all()
        else:
            number = int(origin.removeprefix("number "))
            assert (image == drawn.images[number]).all() and study.planes[drawn.labels[number]] == plane
    # All ten kept test images of each plane are asked for here, so none that must not be there has been spared by chance.
    train = {image.tobytes() for image in study.labelled(study.part("train")).images}
    assert not train & {image.tobytes() for image in quiz.images}


def test_the_seed_decides(study):
    one, same, other = (reader_study.draw(study, 40, seed) for seed in (0, 0, 1))
    assert (one.images == same.images).all() and (one.truth, one.origin) == (same.truth, same.origin)
    assert one.origin != other.origin and one.truth != other.truth


def test_impossible_quizzes_are_refused(study):
    for count in (0, 41):
        with pytest.raises(FetalkitError, match="use an even number"):
            reader_study.draw(study, count, 0)
    with pytest.raises(FetalkitError, match="has 10 real images, but 11 are needed; ask for fewer"):
        reader_study.draw(study, 22 * len(study.planes), 0)
    with pytest.raises(FetalkitError, match="run 05_synthesis first"):
        reader_study.draw(study, 40, 0, generator="gan")


def test_the_form_scores_and_saves(tmp_path):
    quiz = quiz_of(REAL, SYNTHETIC, REAL, SYNTHETIC)
    form = Form(quiz, tmp_path / "work" / "blind_test.csv")
    assert form.result.value == "" and form.save_button.disabled
    for answer, given in zip(form.answers, [REAL, SYNTHETIC, SYNTHETIC], strict=False):
        answer.value = given
    assert "3 of 4 images are marked" in form.status.value
    form.score_button.click()
    assert "2 of 3 right: accuracy 67 % (95 % interval 21 % to 94 %; p against guessing 1)" in form.result.value
    assert "1 without a mark are left out" in form.result.value
    assert all(answer.disabled for answer in form.answers) and form.score_button.disabled
    form.reader.value, form.experience.value = ' "Doe", J. ', "student"
    form.save_button.click()
    assert form.status.value == "Saved." and form.save_button.disabled
    saved = reader_study.scores(form.path)
    assert saved[["quiz", "reader", "experience"]].values.tolist() == [["a quiz", '"Doe", J.', "student"]]
    assert saved[["answered", "unanswered", "right"]].values.tolist() == [[3, 1, 2]]

    reader_study.save(quiz, quiz.score(quiz.truth), "NA", "not said", form.path)
    assert reader_study.scores(form.path).reader.tolist() == ['"Doe", J.', "NA"]
    assert [path.name for path in form.path.parent.iterdir()] == ["blind_test.csv"]


def test_the_truth_is_not_in_the_form_before_the_score(study, tmp_path):
    quiz = reader_study.draw(study, 12, 0)
    form = Form(quiz, tmp_path / "blind_test.csv")
    values = [widget.value for widget in everything(form.widget) if isinstance(getattr(widget, "value", None), str)]
    assert not any(origin in value for origin in quiz.origin for value in values)
    form.score_button.click()
    assert all(origin in form.result.value for origin in quiz.origin)


def everything(widget):
    for child in getattr(widget, "children", ()):
        yield child
        yield from everything(child)


def test_a_table_of_something_else_is_not_overwritten(tmp_path):
    path = tmp_path / "blind_test.csv"
    path.write_text("a,b\n1,2\n")
    form = Form(quiz_of(REAL, SYNTHETIC), path)
    form.answers[0].value = REAL
    form.score_button.click()
    form.save_button.click()
    assert "blind_test.csv: not a table of scores; move it away" in form.status.value
    assert not form.save_button.disabled and path.read_text() == "a,b\n1,2\n"


PERSON = """
for answer, truth in zip(form.answers, quiz.truth):
    answer.value = truth
form.score_button.click()
form.save_button.click()
assert f"{images} of {images} right: accuracy 100 %" in form.result.value
"""


@pytest.mark.slow
def test_the_notebook_runs_with_and_without_a_person(tmp_path, monkeypatch):
    clone = tmp_path / "clone"
    shutil.copytree(ROOT / "fetalkit", clone / "fetalkit", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "params.yaml", clone)
    monkeypatch.setattr(paths, "ROOT", clone)
    small_study.write()
    monkeypatch.setenv("PYTHONPATH", str(clone))
    monkeypatch.delenv("FETALKIT_COHORT", raising=False)

    notebook = nbformat.read(ROOT / "notebooks" / "blind_test.ipynb", 4)
    scores = notebook.cells[-2]
    notebook.cells += [new_code_cell(PERSON), new_code_cell(scores.source)]
    resources = {"metadata": {"path": str(clone)}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=resources).execute(env=dict(os.environ))

    form = notebook.cells[4].outputs[0].data
    assert "application/vnd.jupyter.widget-view+json" in form
    assert "No score has been saved yet." in scores.outputs[0].data["text/html"]
    assert "100\u00a0%" in notebook.cells[-1].outputs[0].data["text/html"]
    assert len(reader_study.scores(paths.work("phantom", "blind_test.csv"))) == 1
