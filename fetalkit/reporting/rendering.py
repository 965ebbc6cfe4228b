"""Figures as text of a page: charts as SVG in the page itself, pictures and very dense charts as PNG of twice the resolution.

A chart is part of the page's HTML and not an image with a file of its own in it: a reader's search then finds its words, and
it takes on the colours of the page, light or dark. Its words are text, each with the width that it has in matplotlib's font, so
that no other font of the reader's machine makes two of them meet. Equal figures are equal bytes.
"""

import base64
import io
import re
from html import escape, unescape

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from PIL import Image

from fetalkit.plots.palette import GRID, INK, MUTED, PAPER

DPI = 110  # at which a figure has its size on a page
SHARPER = 2  # times as many pixels in a PNG, for screens with many of them
HEAVIEST = 200_000  # bytes: charts that are heavier as SVG, of thousands of points, are stored as PNG
PALETTE_ERROR = (
    1.0  # grey levels of 255, root mean square: colours of curves stay below it, coloured photographs do not
)
FONTS = "'DejaVu Sans', Verdana, Geneva, sans-serif"  # the first two are equally wide
# Colours that a page may change, by the name it gives them.
_PAGE_COLOURS = {INK: "ink", MUTED: "muted", GRID: "line", PAPER: "paper"}
_KEPT = re.compile(r"(xtick|ytick|axes)_\d+")


def html(fig: Figure, name: str, alt: str, pictures: bool) -> str:
    """Element of a page that shows a figure.

    Parameters
    ----------
    fig
        The figure; it is cropped to its content.
    name
        Identifier of the figure on its page.
    alt
        What a reader who cannot see the figure needs to know of it.
    pictures
        Whether it holds images.
    """
    if not pictures and len(drawn := svg(fig)) <= HEAVIEST:
        return inline(drawn, name, alt)
    content, width, height = png(fig)
    source = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    return (
        f'<img src="{source}" width="{width}" height="{height}" alt="{escape(alt)}" style="max-width:100%;height:auto">'
    )


def svg(fig: Figure) -> str:
    """SVG file of a figure, cropped to its content; words are text. No date and no random names are in it."""
    drawn = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "fetalkit"}):
        fig.savefig(
            drawn, format="svg", bbox_inches="tight", pad_inches=0.05, transparent=True,
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )  # fmt: skip
    return drawn.getvalue()


def inline(drawn: str, name: str, alt: str) -> str:
    """`drawn`, as `svg` makes it, as an element of a page on which there are other figures.

    Names that something in the figure refers to begin with `name`, the others go. What an artist was named with a ``gid`` stays
    as ``data-of``.
    """
    body = drawn[drawn.index("<svg") :]
    box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', body)
    assert box is not None, "matplotlib writes the size of every SVG"
    body = re.sub(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>|<!--.*?-->", "", body, flags=re.DOTALL)
    used = set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', body))
    references = {one or other for one, other in used}

    def named(found: re.Match) -> str:
        identifier = unescape(found[1])
        if identifier in references:
            return f' id="{name}-{identifier}"'
        if kept := _KEPT.fullmatch(identifier):
            return f' class="{kept[1]}"'
        generic = re.fullmatch(r"[A-Za-z.0-9]+_\d+", identifier)
        return "" if generic else f' data-of="{escape(identifier)}"'

    body = re.sub(r' id="([^"]*)"', named, body)
    body = re.sub(r'xlink:href="#', f'href="#{name}-', body)
    body = body.replace("url(#", f"url(#{name}-")
    body = re.sub(r'<text style="([^"]*)"([^>]*)>([^<]*)</text>', _text, body)
    body = re.sub(r"<tspan[^>]*>", lambda found: re.sub(r" font-family: [^;]*;", "", found[0]), body)
    for colour, of_page in _PAGE_COLOURS.items():
        body = body.replace(f": {colour}", f": var(--{of_page}, {colour})")
    body = re.sub(r"<[^>]*>", lambda tag: re.sub(r"\d+\.\d{3,}", lambda of: f"{float(of[0]):.2f}", tag[0]), body)
    width, height = (round(float(side) / 72 * DPI) for side in box.groups())
    opening = (
        f'<svg role="img" aria-label="{escape(alt)}" width="{width}" height="{height}" '
        f'viewBox="0 0 {box[1]} {box[2]}" '
        f'stroke-linejoin="round" font-family="{FONTS}" style="max-width:100%;height:auto">'
    )
    body = opening + body[body.index(">") + 1 :]
    return re.sub(r"\s*\n\s*", lambda found: "" if _between_tags(body, found) else " ", body).strip()


def _between_tags(body: str, found: re.Match) -> bool:
    return body[found.start() - 1] == ">" or body[found.end() : found.end() + 1] == "<"


def _text(found: re.Match) -> str:
    """A line of text with the width that matplotlib gave it, whatever font it is shown in."""
    look, place, words = found.groups()
    size = re.search(r"font-size: ([\d.]+)px", look)
    weight = re.search(r"font-weight: (\w+)", look)
    look = re.sub(r" font-family: [^;]*;", "", look)
    if size is None or not words.strip():
        return f'<text style="{look}"{place}>{words}</text>'
    font = FontProperties(family="DejaVu Sans", size=float(size[1]), weight=int(weight[1]) if weight else "normal")
    width, _, _ = text_to_path.get_text_width_height_descent(unescape(words), font, False)
    place = re.sub(r' transform="rotate\(-0 [^"]*\)"', "", place)
    fitted = f' textLength="{width:.1f}" lengthAdjust="spacingAndGlyphs"' if len(words) > 1 else ""
    return f'<text style="{look}"{place}{fitted}>{words}</text>'


def png(fig: Figure) -> tuple[bytes, int, int]:
    """PNG file of a figure, cropped to its content, and the width and height at which it is shown, in px.

    It has `SHARPER` times as many pixels. Equal figures are equal files, without metadata. Grey figures are stored in grey,
    and others with a palette of 256 colours where nobody sees the difference, which halves the file.
    """
    drawn = io.BytesIO()
    fig.savefig(
        drawn, format="png", dpi=SHARPER * DPI, bbox_inches="tight", pad_inches=0.05, facecolor="white",
    )  # fmt: skip
    with Image.open(drawn) as picture:
        stored = io.BytesIO()
        _lighter(picture.convert("RGB")).save(stored, format="png", optimize=True)
        return stored.getvalue(), round(picture.width / SHARPER), round(picture.height / SHARPER)


def _lighter(picture: Image.Image) -> Image.Image:
    """The same picture with one channel, or with a palette, where that changes (nearly) nothing."""
    pixels = np.asarray(picture)
    if (pixels == pixels[:, :, :1]).all():
        return Image.fromarray(pixels[:, :, 0])
    few = picture.quantize(256, method=Image.Quantize.MEDIANCUT, kmeans=1, dither=Image.Dither.NONE)
    error = np.asarray(few.convert("RGB")).astype(float) - pixels
    return few if np.sqrt(np.mean(error**2)) < PALETTE_ERROR else picture
