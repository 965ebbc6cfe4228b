"""Figures of fidelity. Each function draws from tables and arrays; none trains, loads, embeds or saves."""

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import NullLocator

from fetalkit.analysis.names import plain
from fetalkit.metrics.compare import ALL
from fetalkit.metrics.speckle import Texture
from fetalkit.plots.cohort import WIDTH
from fetalkit.plots.missing import NOT_MEASURED, mark_row
from fetalkit.plots.palette import GRID, INK, MUTED, PAPER, set_styles, styles

# name in the tables → label and which way is better
_METRICS = {
    "fd": "Fréchet distance ↓",
    "kid": "kernel distance ↓",
    "precision": "precision ↑",
    "recall": "recall ↑",
    "density": "density ↑",
    "coverage": "coverage ↑",
}


_SHARES, _NOTHING = ("precision", "recall", "density", "coverage"), 0.02  # one that all sets lack is said, not drawn


def metrics_by_set(compared: pd.DataFrame, space: str, all_sets: Sequence[str], best: str = "real_train") -> Figure:
    """Metrics of every set over all planes (dots) and per plane (small ticks), one panel per metric.

    Parameters
    ----------
    compared
        As `fetalkit.metrics.compare.table` makes it. A metric over all planes that is NaN is marked.
    space
        Feature space to show.
    all_sets
        Every set of the study: colours follow from it.
    best
        Set that shows what a perfect generator would reach: a dashed line.
    """
    rows = compared[compared.space == space]
    names = [name for name in dict.fromkeys(rows.set) if name != best]
    looks = set_styles(all_sets, names)
    figure, axes = plt.subplots(2, 3, figsize=(WIDTH, 2 * min(0.34 * len(names) + 0.95, 3.7)), sharey=True)
    for axis, (metric, label) in zip(axes.flat, _METRICS.items(), strict=True):
        most = rows[(rows.set != best) & (rows.plane == ALL)][metric].max()
        if metric in _SHARES and most <= _NOTHING:
            axis.text(0.5, 0.5, f"{label[:-2]}: at most\n{most:.2f} in any set", transform=axis.transAxes, ha="center")
            axis.set_axis_off()
            continue
        for place, name in enumerate(names):
            of_set, colour = rows[rows.set == name], looks[name].colour
            planes, overall = of_set[of_set.plane != ALL][metric], of_set[of_set.plane == ALL][metric]
            axis.plot(planes, [place] * len(planes), "|", color=colour, markersize=9, alpha=0.7)
            axis.plot(overall, [place], "o", color=colour, markersize=7, gid=f"{name}|{metric}")
            if overall.isna().any():
                mark_row(axis, place, colour, NOT_MEASURED)
        for value in rows[(rows.set == best) & (rows.plane == ALL)][metric]:
            axis.axvline(value, color=MUTED, linestyle="--", linewidth=1.2)
        # 0 keeps the axis in being where all are missing.
        most = np.nanmax([1.0 if metric not in ("fd", "kid") else 0.0, *rows[metric]])
        axis.set(xlabel=label, xlim=(np.nanmin([0.0, *rows[metric]]) - 0.06 * most, 1.06 * most or 1.0))
        axis.set_yticks(range(len(names)), [plain(name) for name in names])
        axis.grid(axis="y", visible=False)
    axes[0, 0].set_ylim(len(names) - 0.5, -0.5)
    keys = {
        "all planes": dict(marker="o", linestyle="", markersize=7),
        "one plane": dict(marker="|", linestyle="", markersize=9),
        plain(best): dict(linestyle="--", linewidth=1.2),
    }
    if not (rows.set == best).any():
        del keys[plain(best)]
    handles = [Line2D([], [], color=MUTED, **style) for style in keys.values()]
    figure.legend(handles, keys, loc="outside lower center", ncol=3, fontsize=9)
    return figure


def embedding(points: np.ndarray, sets: Sequence[str], planes: Sequence[str], all_sets: Sequence[str]) -> Figure:
    """Embedded vectors, one panel per plane: where synthetic images lie among real ones.

    Parameters
    ----------
    points
        (n, 2), e.g. from `fetalkit.metrics.compare.embed`. All panels have the same axes.
    sets, planes
        Set and plane of each point.
    all_sets
        Every set of the study: colours and markers follow from it.
    """
    frame = pd.DataFrame({"x": points[:, 0], "y": points[:, 1], "set": sets, "plane": planes})
    names, shown = list(dict.fromkeys(frame.set)), sorted(set(frame.plane))
    looks = set_styles(all_sets, names)
    columns = min(3, len(shown)) if len(shown) != 4 else 2
    lines = -(-len(shown) // columns)
    figure, axes = plt.subplots(
        lines, columns, figsize=(WIDTH, WIDTH / columns * lines * 0.85 + 0.4), sharex=True, sharey=True, squeeze=False
    )
    for axis in axes.flat[len(shown) :]:
        axis.set_axis_off()
    for axis, plane in zip(axes.flat[: len(shown)], shown, strict=True):
        axis.plot(frame.x, frame.y, ".", color=GRID, markersize=3, zorder=0)
        for name in names:
            of_set = frame[(frame.plane == plane) & (frame.set == name)]
            style = dict(color=looks[name].colour, marker=looks[name].marker, label=plain(name))
            axis.plot(of_set.x, of_set.y, linestyle="", markersize=4, alpha=0.65, markeredgewidth=0, **style)
        axis.set(xticks=[], yticks=[])
        axis.set_title(plane, fontsize=9.5)
        axis.set_box_aspect(0.8)
    legend_below(figure, axes[0, 0], markerscale=1.5)
    return figure


def textures(measured: Mapping[str, Texture], all_sets: Sequence[str]) -> Figure:
    """Grey levels, speckle SNR, autocorrelation and power spectrum of every set.

    Parameters
    ----------
    measured
        Name of the set → its texture. Images without a fan have no SNR and are left out of its box, as `measure` says; a set
        of such images alone is marked.
    all_sets
        Every set of the study: colours follow from it.
    """
    looks = set_styles(all_sets, measured)
    figure, ((grey, contrast), (size, power)) = plt.subplots(2, 2, figsize=(WIDTH, 5.6))
    for place, (name, texture) in enumerate(measured.items()):
        colour, snr = looks[name].colour, texture.snr[np.isfinite(texture.snr)]
        style = dict(color=colour, linewidth=1.6)
        grey.plot(np.arange(256), texture.histogram * 100, label=plain(name), **style)
        contrast.boxplot(
            snr, positions=[place], orientation="horizontal", widths=0.6, showfliers=False,
            patch_artist=True, boxprops=dict(facecolor=colour, alpha=0.7), medianprops=dict(color=INK),
        )  # fmt: skip
        if not len(snr):
            mark_row(contrast, place, colour, NOT_MEASURED)
        lags = np.arange(9)[: len(texture.lateral)]
        size.plot(lags, texture.lateral[: len(lags)], "o-", markersize=3.5, **style)
        size.plot(lags, texture.axial[: len(lags)], "s:", markersize=3.5, **style)
        power.plot(np.arange(1, len(texture.power) + 1), texture.power, **style)
    grey.set(xlabel="grey level", ylabel="share of fan (%)", xlim=(0, 255), yscale="log")
    contrast.set(xlabel="speckle SNR")
    contrast.set_yticks(range(len(measured)), [plain(name) for name in measured])
    contrast.invert_yaxis()
    contrast.grid(axis="y", visible=False)
    size.axhline(0.5, color=MUTED, linewidth=0.8)
    size.set(xlabel="lag (px)", ylabel="autocorrelation")
    lines = [
        Line2D([], [], color=MUTED, markersize=3.5, linestyle="-", marker="o"),
        Line2D([], [], color=MUTED, markersize=3.5, linestyle=":", marker="s"),
    ]
    size.legend(lines, ["lateral", "axial"], fontsize=9)
    power.set(xlabel="cycles per image", ylabel="power (grey levels²)", xscale="log", yscale="log")
    highest = max(len(texture.power) for texture in measured.values())
    octaves = [2**number for number in range(int(np.log2(highest)) + 1)]
    power.set_xticks(octaves, [str(cycles) for cycles in octaves])
    for axis in (power.xaxis, power.yaxis, grey.yaxis):
        axis.set_minor_locator(NullLocator())
    legend_below(figure, grey)
    return figure


def accuracy_against_diversity(table: pd.DataFrame, diversity: str = "recall") -> Figure:
    """Accuracy of a classifier on the samples against their diversity, one line per kind of guidance.

    Parameters
    ----------
    table
        ``guidance`` (kind), ``scale``, `diversity` and ``accuracy`` (0-1), one row per set of samples. Where one of the two is
        NaN, the line has a gap, and the scale is named in the legend.
    diversity
        Column on the horizontal axis: ``"recall"`` or ``"coverage"``.
    """
    figure, axis = plt.subplots(figsize=(WIDTH, 3.8))
    for number, (kind, look) in enumerate(styles(table.guidance).items()):
        rows = table[table.guidance == kind].sort_values("scale")
        missing = rows[[diversity, "accuracy"]].isna().any(axis=1)
        x, y = rows[diversity].mask(missing), 100 * rows.accuracy.mask(missing)
        scales = ", ".join(f"{scale:g}" for scale in rows.scale[missing])
        label = f"{kind} (× {NOT_MEASURED}: {scales})" if scales else kind
        axis.plot(x, y, markersize=6, color=look.colour, marker=look.marker, label=label)
        # These lines fall to the right: above and right of a point, and below and left of it, there is room.
        side = 1 if number == 0 else -1
        for scale, recalled, right in zip(rows.scale[~missing], x[~missing], y[~missing], strict=True):
            axis.annotate(
                f"{scale:g}", (recalled, right), xytext=(5 * side, 3 * side),
                textcoords="offset points", fontsize=9, color=look.colour, ha="left" if side > 0 else "right",
                va="bottom" if side > 0 else "top", path_effects=[withStroke(linewidth=2, foreground=PAPER)],
            )  # fmt: skip
    axis.margins(0.1, 0.14)
    # From zero, also where no scale reaches any real image.
    furthest = max(0.05, 1.1 * table[diversity].max())
    axis.set(xlabel=diversity, ylabel="accuracy on the samples (%)", xlim=(-0.05 * furthest, furthest))
    legend_below(figure, axis, title="guidance (labels: scale)")
    return figure


def legend_below(figure: Figure, axis: Axes, **settings) -> None:
    """Legend of `axis` below the figure, in as many lines as it takes."""
    handles, labels = axis.get_legend_handles_labels()
    needed = sum(0.6 + 0.08 * len(label) for label in labels)  # inches
    columns = -(-len(labels) // max(1, math.ceil(needed / WIDTH)))
    figure.legend(handles, labels, loc="outside lower center", ncol=columns, fontsize=9, **settings)
