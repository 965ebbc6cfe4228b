"""The first screen of a report: the answer, what its terms mean at a click, and what has to hold for it, pass or fail."""

import re
from collections.abc import Mapping, Sequence
from html import escape

import mistune
from IPython.display import HTML, display

from fetalkit.analysis.checks import Check

_markdown = mistune.create_markdown(escape=True)
MARKS = {True: ("✓", "pass"), False: ("✗", "FAIL"), None: ("–", "not checked")}
_KINDS = {True: "passed", False: "failed", None: "unknown"}
_PLACES = (  # term of a glossary, and how sentences write it
    ("k", r"\bk(?=[ \u00a0][=≤])"),
    ("point", r"\bpoints?\b"),
    ("95 % interval", r"95\u00a0% interval"),
    ("p, corrected", r"\bp(?= = | &lt;)"),
    ("weak, fair, good", r"(?<=<strong>)(?:weak|fair|good)(?=</strong>)"),
)
STYLE = """
.fetalkit.answer { margin: 0; max-width: 54rem; }
.fetalkit.answer p { margin: 0 0 0.45rem; line-height: 1.45; }
.fetalkit.answer .said p:first-child { font-size: 1.1em; }
.text.question { max-width: 54rem; }
.text.question p { margin-bottom: 0.75rem; }
.fetalkit.answer .setting { font-size: 0.9em; color: var(--muted, inherit); }
.fetalkit.answer abbr { text-decoration: underline dotted; cursor: help; }
.fetalkit.answer summary { cursor: pointer; width: fit-content; font-size: 0.9em; color: var(--accent, inherit); }
.fetalkit.answer dl { margin: 0.5rem 0 0; font-size: 0.9em; }
.fetalkit.answer dl div { display: grid; grid-template-columns: 11rem minmax(0, 1fr); gap: 0 1rem; padding: 0.25rem 0; }
.fetalkit.answer dt { font-weight: 600; }
.fetalkit.answer dd { margin: 0; }
.fetalkit.checks { list-style: none; margin: 0; padding: 0; max-width: 54rem; }
.fetalkit.checks li { display: grid; grid-template-columns: 7.5rem minmax(0, 1fr); gap: 0 1rem; padding: 0.3rem 0;
  border-bottom: 1px solid var(--line, #8888); }
.fetalkit.checks .mark { font-size: 0.85em; font-weight: 600; border: 1px solid currentColor; border-radius: 3px;
  padding: 0 0.5em; justify-self: start; align-self: baseline; white-space: nowrap; }
.fetalkit.checks .failed .mark { background: #a3231b; border-color: #a3231b; color: #fff; }
.fetalkit.checks .unknown .mark { border-style: dashed; font-weight: 400; }
@media (max-width: 40rem) {
  .fetalkit.checks li, .fetalkit.answer dl div { grid-template-columns: minmax(0, 1fr); }
}
@media print {
  .fetalkit.answer details::details-content { content-visibility: visible; block-size: auto; }
  .fetalkit.checks li { break-inside: avoid; }
}
"""


def answer(sentences: Sequence[str], setting: Sequence[str], glossary: Mapping[str, str]) -> None:
    """Show the answer.

    Parameters
    ----------
    sentences
        In Markdown, one paragraph each; the first is the answer.
    setting
        What the study is of, in a few words each.
    glossary
        Term → meaning. They are behind one click, or the key Enter, and open in print; terms of one word that stand in a
        sentence are also told by the pointer.
    """
    said = _explained("".join(str(_markdown(sentence)) for sentence in sentences), glossary)
    terms = "".join(
        f"<div><dt>{escape(term)}</dt><dd>{_inline(meaning)}</dd></div>" for term, meaning in glossary.items()
    )
    _show(
        f'<section class="fetalkit answer" aria-label="The answer"><div class="said">{said}</div>'
        f'<p class="setting">{" · ".join(map(escape, setting))}</p>'
        f"<details><summary>What do {escape(', '.join(list(glossary)[:4]))} and the other terms mean?</summary>"
        f"<dl>{terms}</dl></details></section>"
    )


def _inline(text: str) -> str:
    return re.sub(r"^<p>|</p>\s*$", "", str(_markdown(text)))


def _explained(html: str, glossary: Mapping[str, str]) -> str:
    """`html` in which the first place of a term is explained to the pointer; in one pass, so that no title is searched."""
    seen: set[str] = set()

    def titled(found: re.Match[str]) -> str:
        term = _PLACES[found.lastindex - 1][0] if found.lastindex else ""
        if term in seen or term not in glossary:
            return found[0]
        seen.add(term)
        return f'<abbr title="{escape(glossary[term].replace("*", ""))}">{found[0]}</abbr>'

    return re.sub("|".join(f"({pattern})" for _, pattern in _PLACES), titled, html)


def checks(found: Sequence[Check]) -> None:
    """Show a list of checks: a mark in words and a sign, the number, and a link to the page with the evidence."""
    _show(f'<ul class="fetalkit checks" aria-label="Pass or fail">{"".join(map(line, found))}</ul>')


def line(check: Check) -> str:
    """The element of one check in such a list."""
    mark, word = MARKS[check.passed]
    return (
        f'<li class="{_KINDS[check.passed]}"><span class="mark">{mark} {word}</span>'
        f"<span><strong>{_linked(check)}</strong>: {_inline(check.said)}</span></li>"
    )


def _linked(check: Check) -> str:
    return f'<a href="{escape(check.page)}">{escape(check.name)}</a>' if check.page else escape(check.name)


def _show(html: str) -> None:
    display(HTML(f"<style>{STYLE}</style>{html}"))
