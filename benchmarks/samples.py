"""Draw ``docs/images/samples.png``: train images of spain at 128 px beside images of the released generator spain-128.

It needs the images and splits of spain-128 (``fetalkit repro spain-128 split``). On either side stand the first ones
of an order that a seed sets: none was chosen for its looks.
"""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from fetalkit.config import params
from fetalkit.data.study import Study
from fetalkit.experiments import trained
from fetalkit.utils import paths
from fetalkit.utils.streams import rng

COHORT = GENERATOR = "spain-128"
EACH, SEED = 4, 0
GAP, BETWEEN, MARGIN, HEAD = 4, 28, 30, 30  # px: between images, between the two halves, left of them, above them
INK, GROUND = 0, 255
TEXT = 17  # px


def sheet(real: Sequence[np.ndarray], drawn: Sequence[np.ndarray], planes: Sequence[str], title: str) -> Image.Image:
    """A row for every plane: real images on the left, drawn ones on the right, both labelled.

    Parameters
    ----------
    real, drawn
        Of every plane, uint8 (n, side, side); n and side are the same for all.
    planes
        Names of the planes.
    title
        Of the right half, e.g. ``"drawn by the diffusion model"``.

    Returns
    -------
    PIL.Image.Image
        Grey.
    """
    count, side = real[0].shape[:2]
    step = side + GAP
    half = count * step - GAP
    lefts = MARGIN, MARGIN + half + BETWEEN
    whole = Image.new("L", (lefts[1] + half, HEAD + len(planes) * step - GAP), GROUND)
    write, font = ImageDraw.Draw(whole), ImageFont.load_default(TEXT)
    for left, text, rows in zip(lefts, ("real", title), (real, drawn), strict=True):
        write.text((left + half / 2, HEAD / 2), text, INK, font, anchor="mm")
        for line, images in enumerate(rows):
            for column, image in enumerate(images):
                whole.paste(Image.fromarray(image), (left + column * step, HEAD + line * step))
    for line, plane in enumerate(planes):
        label = Image.new("L", (side, MARGIN), GROUND)
        ImageDraw.Draw(label).text((side / 2, MARGIN / 2), plane, INK, font, anchor="mm")
        whole.paste(label.rotate(90, expand=True), (0, HEAD + line * step))
    return whole


def main() -> None:
    """Draw and write the sheet."""
    study = Study(COHORT, params.load(COHORT))
    seen, real = study.train("all", 0), []
    for number, plane in enumerate(study.planes):
        rows = np.flatnonzero(seen.labels == number)
        order = torch.randperm(len(rows), generator=rng(SEED, "samples", plane)).numpy()
        real.append(seen.images[rows[order[:EACH]]])
    # Another seed for every plane: with one, the same noise becomes an image of each.
    drawn = [trained.draw(GENERATOR, plane, EACH, SEED + number) for number, plane in enumerate(study.planes)]
    path = paths.ROOT / "docs" / "images" / "samples.png"
    sheet(real, drawn, study.planes, "drawn by the diffusion model").save(path, optimize=True)
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
