"""Figures of the gap between hospitals. Each function draws from tables and arrays; none trains, loads, embeds or saves."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import NullLocator

from fetalkit.metrics.compare import ALL
from fetalkit.metrics.domain_gap import matrix
from fetalkit.plots.cohort import WIDTH
from fetalkit.plots.missing import NOT_MEASURED, mark_row
from fetalkit.plots.palette import INK, MUTED, Style, styles

_WITHIN = "#8a929c"  # grey: references, which are no gap
_SHARES, _PERCENT = "cividis", Normalize(0, 100)
# Of a whole figure, as `fetalkit.reporting.display.style` sets those of axes.
_TITLE = dict(x=0.01, ha="left", fontsize=11, fontweight="bold")


def frechet_matrices(table: pd.DataFrame, plane: str = ALL) -> Figure:
    """Fréchet distances between centres, as they are and in units of the reference; one heat map each.

    Parameters
    ----------
    table
        As `fetalkit.metrics.domain_gap.frechet_between` makes it. Pairs without a distance stay grey.
    plane
        Of which plane, or ``"all"``.
    """
    frechet = matrix(table, plane)
    times = frechet / matrix(table, plane, "within")
    n = int(table[table.plane == plane].n.max())
    longest = max(map(len, frechet.index))  # rotated, it needs room below
    size = (WIDTH, 0.45 * len(frechet) + 1.2 + 0.055 * longest)
    figure, axes = plt.subplots(1, 2, figsize=size, sharey=True)
    of = "all planes" if plane == ALL else plane
    titles = (f"Fréchet distance\n{of}, n = {n}", "times the distance\nwithin a place")
    for axis, values, title in zip(axes, (frechet, times), titles, strict=True):
        most = np.max(values.to_numpy(), where=values.notna().to_numpy(), initial=0.0) or 1.0
        decimals = max(0, 2 - int(np.floor(np.log10(most)))) if values is frechet else 1
        sns.heatmap(
            values, annot=True, fmt=f".{decimals}f", cmap="Blues", vmin=0, vmax=most, cbar=False, square=True,
            linewidths=0.5, ax=axis, annot_kws={"fontsize": 9},
        )  # fmt: skip
        for place, reference in enumerate(np.diag(values)):  # no gap
            if not np.isnan(reference):
                axis.add_patch(Rectangle((place, place), 1, 1, fill=False, edgecolor=INK, linewidth=1.5))
        axis.set(title=title, xlabel="place", ylabel="", facecolor="0.92")
        axis.grid(visible=False)
        axis.tick_params(axis="x", rotation=45, length=0)
        axis.tick_params(axis="y", rotation=0, length=0)
    axes[0].set_ylabel("place (framed: within one place)")
    return figure


def embedding(points: np.ndarray, centres: Sequence[str], planes: Sequence[str]) -> Figure:
    """Embedded vectors, once by centre and once by plane: which of the two the features follow.

    Parameters
    ----------
    points
        (n, 2), e.g. from `fetalkit.metrics.compare.embed`.
    centres, planes
        (n,), of each point.
    """
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 4.4), sharex=True, sharey=True)
    for axis, of, title in zip(axes, (centres, planes), ("by place", "by plane"), strict=True):
        groups, names = np.asarray(of), sorted(set(of))
        looks = styles(names)
        # The largest group first, so that it hides none.
        for name in sorted(names, key=lambda name, groups=groups: -(groups == name).sum()):
            x, y = points[groups == name].T
            style = dict(markersize=3.5, markeredgewidth=0, alpha=0.7, linestyle="")
            axis.plot(x, y, label=name, **_dots(looks[name]), **style)
        axis.set(title=title, xlabel="t-SNE 1", ylabel="t-SNE 2", xticks=[], yticks=[])
        axis.set_box_aspect(1)
        handles, labels = axis.get_legend_handles_labels()
        order = np.argsort(labels)
        axis.legend(
            [handles[place] for place in order], [labels[place] for place in order], loc="upper center",
            bbox_to_anchor=(0.5, -0.1), ncol=2, fontsize=9, markerscale=1.8,
        )  # fmt: skip
        axis.label_outer()
    return figure


def mean_images_and_spectra(means: Mapping[str, np.ndarray], spectra: pd.DataFrame) -> Figure:
    """Average image of every centre, and below their power spectra.

    Parameters
    ----------
    means
        Centre → float (size, size) in [0, 255], as `fetalkit.metrics.domain_gap.mean_images` gives them.
    spectra
        As `fetalkit.metrics.domain_gap.radial_spectrum` gives them.
    """
    columns = min(8, len(means))
    lines, side = -(-len(means) // columns), min(WIDTH / columns, 1.4)
    figure = plt.figure(figsize=(WIDTH, side * lines + 3.2))
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=[side * lines + 0.3, 2.9]).flat
    above.suptitle("average image", **_TITLE)
    # Averages are dim: one brightness for all, at which the brightest is white.
    brightest = max(1.0, *(mean.max() for mean in means.values()))
    panels = above.subplots(lines, columns, squeeze=False).flat
    for axis in panels:
        axis.set_axis_off()
    for axis, (name, mean) in zip(panels[: len(means)], means.items(), strict=True):
        axis.imshow(mean, cmap="gray", vmin=0, vmax=brightest)
        axis.set_title(name, fontsize=8, fontweight="normal", loc="center")
    axis = below.subplots()
    octaves = [2**number for number in range(int(np.log2(len(spectra))) + 1)]
    for number, (name, look) in enumerate(styles(map(str, spectra)).items()):
        style = dict(**_dots(look), linewidth=1.4, markersize=5, linestyle=("-", "--")[number % 2])
        axis.plot(spectra.index, spectra[name], markevery=[cycles - 1 for cycles in octaves], label=name, **style)
    axis.set(xscale="log", yscale="log", xlabel="cycles per image", ylabel="power (grey levels²)")
    axis.set_title("power spectrum")
    axis.set_xticks(octaves, [str(cycles) for cycles in octaves])
    for side in (axis.xaxis, axis.yaxis):
        side.set_minor_locator(NullLocator())
    axis.legend(loc="upper right", fontsize=8.5)
    return figure


def proxy_distances(table: pd.DataFrame) -> Figure:
    """Proxy A-distance of every pair of centres and, grey, within centres, with 95 % intervals.

    Parameters
    ----------
    table
        As `fetalkit.metrics.separability.proxy_between` makes it. A distance that is NaN is marked.
    """
    shown = table.assign(within=table.a == table.b).sort_values(["within", "distance"], ascending=[True, False])
    names = [f"{row.a}, halves" if row.within else f"{row.a} – {row.b}" for row in shown.itertuples()]
    figure, axis = plt.subplots(figsize=(WIDTH, 0.24 * len(shown) + 1.4))
    for within, label in ((False, "between two places"), (True, "within a place")):
        bars = np.flatnonzero(shown.within == within)
        rows = shown.iloc[bars]
        _bars(axis, bars, rows, _WITHIN if within else styles([label])[label].colour, label)
    for place in np.flatnonzero(shown.distance.isna()).tolist():
        mark_row(axis, place, word=NOT_MEASURED)
    axis.set_yticks(range(len(names)), names, fontsize=9)
    axis.set(ylim=(len(names) - 0.5, -0.5), xlim=(0, 2.05), xlabel="proxy A-distance (0: alike, 2: always told apart)")
    axis.set_title("how well a linear classifier tells places apart")
    axis.grid(axis="y", visible=False)
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncol=2, fontsize=9)
    return figure


def centre_recognition(table: pd.DataFrame) -> Figure:
    """How well the centre is told from border or size alone, with 95 % intervals; dashed: chance.

    Parameters
    ----------
    table
        As `fetalkit.metrics.outline.centre_table` makes it, with a further column ``images`` that says which images the
        features are of, e.g. ``"as they are"``. An accuracy that is NaN is marked.
    """
    kinds, sets = list(dict.fromkeys(table.features)), list(dict.fromkeys(table.images))
    figure, axis = plt.subplots(figsize=(WIDTH, 0.5 * len(kinds) + 1.6))
    offsets = np.linspace(-0.15, 0.15, len(sets)) if len(sets) > 1 else [0.0]
    for (name, look), offset in zip(styles(sets).items(), offsets, strict=True):
        rows = table[table.images == name]
        places = np.array([kinds.index(kind) + offset for kind in rows.features])
        axis.errorbar(
            100 * rows.balanced_accuracy, places, xerr=100 * _error(rows, "balanced_accuracy"), linestyle="", capsize=3,
            label=name, **_dots(look),
        )  # fmt: skip
        for place in places[rows.balanced_accuracy.isna()]:
            mark_row(axis, place, look.colour, NOT_MEASURED)
    axis.axvline(100 * table.chance.iloc[0], color=MUTED, linestyle="--", linewidth=1.2, label="chance")
    axis.set_yticks(range(len(kinds)), kinds, fontsize=9)
    axis.set(ylim=(len(kinds) - 0.5, -0.5), xlim=(0, 103), xlabel="balanced accuracy (%)")
    axis.set_title("how well the place is told from border or size alone")
    axis.grid(axis="y", visible=False)
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncol=len(sets) + 1, fontsize=9)
    return figure


def mean_masks(rows: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """Where the fan lies in each centre's images: the share of them in which a pixel is in it.

    Parameters
    ----------
    rows
        Name of the row, e.g. ``"standard mask"`` → centre → float (size, size), the mean of its masks in [0, 1]. The place of a
        centre that a row lacks stays empty.
    """
    centres = list(dict.fromkeys(centre for masks in rows.values() for centre in masks))
    columns = len(centres)
    figure, axes = plt.subplots(
        len(rows), columns, figsize=(WIDTH, (min(WIDTH / columns, 1.7) + 0.15) * len(rows) + 1.0), squeeze=False
    )
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.grid(visible=False)
    for axis, centre in zip(axes[0], centres, strict=True):
        axis.set_title(centre, fontsize=9, fontweight="normal", loc="center")
    for line, (name, masks) in zip(axes, rows.items(), strict=True):
        line[0].set_ylabel(name, fontsize=9)
        for centre, mean in masks.items():
            line[centres.index(centre)].imshow(100 * mean, cmap=_SHARES, norm=_PERCENT)
    figure.suptitle("where the fan lies", **_TITLE)
    bar = figure.colorbar(ScalarMappable(_PERCENT, _SHARES), ax=axes, location="bottom", shrink=0.5, aspect=40)
    bar.set_label("images with the pixel inside the fan (%)", fontsize=9)
    return figure


def _dots(style: Style) -> dict:
    return {"color": style.colour, "marker": style.marker}


def _bars(axis: Axes, places: np.ndarray, rows: pd.DataFrame, colour, label: str) -> None:
    axis.barh(
        places, rows.distance, 0.7, xerr=_error(rows, "distance"), color=colour, label=label, capsize=2.5,
        error_kw=dict(ecolor=INK, elinewidth=1),
    )  # fmt: skip


def _error(rows: pd.DataFrame, value: str) -> np.ndarray:
    """Distances from a value down and up to the ends of its interval, (2, n)."""
    return np.abs(np.stack([rows[value] - rows.low, rows.high - rows[value]]))
