"""The form of the blind test: a grid of images to mark as real or synthetic, in JupyterLab."""

import io
from html import escape
from pathlib import Path

import ipywidgets as widgets
import numpy as np
import pandas as pd
from PIL import Image

from fetalkit.experiments import reader_study
from fetalkit.experiments.reader_study import REAL, SYNTHETIC, Quiz, Score, percent
from fetalkit.utils.errors import FetalkitError

EXPERIENCE = ("not said", "none with ultrasound", "student", "sonographer or physician", "fetal medicine specialist")
RIGHT, WRONG, UNMARKED = "#1b7837", "#c51b7d", "#767676"
# At most eight columns, and images as high as five rows of them leave room for: 40 fit the screen of a laptop.
COLUMNS = "repeat(auto-fill, minmax(max(112px, 11.9%), 1fr))"
STYLE = """<style>
.fetalkit-blind img { width: min(94%, 10.5vh); height: auto }
.fetalkit-blind .widget-html { margin: 0; height: 17px }
.fetalkit-blind .widget-html-content { font-size: 11px; line-height: 16px; white-space: nowrap; text-align: center }
.fetalkit-blind .widget-toggle-buttons { width: auto; height: auto; margin: 0 }
.fetalkit-blind .widget-toggle-buttons > div { display: flex; flex-wrap: nowrap }
.fetalkit-blind .jupyter-button {
  font-size: 12px; line-height: 20px; height: 22px; padding: 0 6px; margin: 0 1px; color: #222; background: #e8e8e8 }
.fetalkit-blind .jupyter-button.mod-active { background: #1f5fa8; color: #fff; box-shadow: none }
.fetalkit-blind-result .widget-html-content { line-height: 1.5 }
.fetalkit-blind-result table { margin-left: 0 }
.fetalkit-blind-result :is(.text, tr > :first-child), .fetalkit-blind-result .text :is(td, th) { text-align: left }
</style>"""


class Form:
    """Grid of the images of a quiz, each with its two buttons, and what to do with the answers.

    Scoring shows the truth, so it can be done once. Saving appends a row to the table at `path`.

    Attributes
    ----------
    widget : ipywidgets.Widget
        What to show.
    answers : list of ipywidgets.ToggleButtons
        One per image; value ``"real"``, ``"synthetic"`` or None.
    score_button, save_button : ipywidgets.Button
    result, status : ipywidgets.HTML
        The score, once asked for, and a line on how far the reader is or what went wrong.
    reader, experience
        Who the reader is, for the table.
    score : Score or None
    """

    def __init__(self, quiz: Quiz, path: Path):
        self.quiz, self.path = quiz, path
        self.score: Score | None = None
        self.answers = [
            widgets.ToggleButtons(options=[REAL, SYNTHETIC], value=None, style={"button_width": "auto"})
            for _ in quiz.truth
        ]
        self._captions = [
            widgets.HTML(f"{number} · {escape(plane)}") for number, plane in enumerate(quiz.planes, start=1)
        ]
        self._frames = [
            widgets.VBox(
                [_picture(image), caption, answer],
                layout={"align_items": "center", "border": "2px solid transparent", "overflow": "hidden"},
            )
            for image, caption, answer in zip(quiz.images, self._captions, self.answers, strict=True)
        ]
        grid = widgets.GridBox(
            self._frames,
            layout={"grid_template_columns": COLUMNS, "grid_gap": "2px"},
        ).add_class("fetalkit-blind")
        self.score_button = widgets.Button(description="Score", button_style="primary", layout={"width": "80px"})
        self.status = widgets.HTML()
        self.result = widgets.HTML().add_class("jp-RenderedHTMLCommon").add_class("fetalkit-blind-result")
        self.reader = widgets.Text(description="Reader", placeholder="name or initials", disabled=True)
        self.experience = widgets.Dropdown(description="Experience", options=EXPERIENCE, disabled=True)
        self.save_button = widgets.Button(description="Save my score", disabled=True)
        self.score_button.on_click(lambda _: self._score())
        self.save_button.on_click(lambda _: self._save())
        for answer in self.answers:
            answer.observe(lambda _: self._count(), "value")
        self._count()
        self.widget = widgets.VBox(
            [
                widgets.HTML(STYLE),
                grid,
                widgets.HBox([self.score_button, self.status], layout={"align_items": "center"}),
                self.result,
                widgets.HBox([self.reader, self.experience, self.save_button]),
            ]
        )

    def _count(self) -> None:
        marked = sum(answer.value is not None for answer in self.answers)
        self.status.value = (
            f"{marked} of {len(self.answers)} images are marked. Scoring shows the truth and ends the test."
        )

    def _score(self) -> None:
        answers = [answer.value for answer in self.answers]
        self.score = self.quiz.score(answers)
        for answer in (*self.answers, self.score_button):
            answer.disabled = True
        for control in (self.reader, self.experience, self.save_button):
            control.disabled = not self.score.answered
        shown = zip(self._frames, self._captions, answers, self.quiz.truth, strict=True)
        for number, (frame, caption, given, truth) in enumerate(shown, start=1):
            colour, mark = (UNMARKED, "–") if given is None else (RIGHT, "✓") if given == truth else (WRONG, "✗")
            frame.layout.border = f"2px solid {colour}"
            caption.value = f'<b style="color:{colour}">{number} {mark} {truth}</b>'
        self.status.value = ""
        self.result.value = f"<p><b>{escape(str(self.score))}</b></p>{_planes(self.score)}{self._truth(answers)}"

    def _truth(self, answers: list[str | None]) -> str:
        """Which image was what, folded away."""
        table = pd.DataFrame(
            {
                "image": range(1, len(answers) + 1),
                "plane": self.quiz.planes,
                "was": self.quiz.truth,
                "marked": [answer or "–" for answer in answers],
                "origin": self.quiz.origin,
            }
        )
        rows = table.to_html(index=False, border=0, classes="text")
        return f"<details><summary>Which image was what</summary>{rows}</details>"

    def _save(self) -> None:
        assert self.score is not None, "the button works after scoring alone"
        try:
            experience = str(self.experience.value)
            reader_study.save(self.quiz, self.score, self.reader.value.strip(), experience, self.path)
        except FetalkitError as error:
            self.status.value = escape(str(error))
        else:
            self.save_button.disabled = True
            self.status.value = "Saved."


def _picture(image: np.ndarray) -> widgets.Image:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, format="png")
    return widgets.Image(value=stream.getvalue(), format="png")


def _planes(score: Score) -> str:
    if not score.answered:
        return ""
    shown = score.planes.assign(accuracy=score.planes.accuracy.map(percent))
    return shown.to_html(index=False, border=0)
