"""Pictures of DICOM files: one frame, as a viewer shows it, with all black that lies outside the scan.

Nothing else of a header is read: neither names nor numbers of patients can come into a table, a page or a message.

References
----------
DICOM PS3.3: C.7.6.3 (pixels), C.11.1 (modality LUT), C.11.2 (window), C.8.5.5 (ultrasound regions).
"""

import re
import warnings
from pathlib import Path
from typing import Any, cast

import numpy as np
import pydicom
from pydicom import config
from pydicom.datadict import dictionary_has_tag, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi, apply_windowing
from pydicom.pixels.utils import get_nr_frames, pixel_array
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from fetalkit.config.sections import Frame
from fetalkit.data.pixels import chosen, eight_bits, refuse_size
from fetalkit.utils.errors import FetalkitError

# What it thinks of values that nobody reads here would be told with these values.
config.settings.reading_validation_mode = config.IGNORE
warnings.filterwarnings("ignore", module="pydicom")

# Modalities; many exports write "other", a secondary capture, or none.
ULTRASOUND = ("US", "IVUS", "OT", "SC", "")
# Of group 28, how pixels are to be understood, everything; of all other groups what is named here.
_NAMED = ("SOPClassUID", "Modality", "SequenceOfUltrasoundRegions")
_PIXELS = ("PixelData", "ExtendedOffsetTable", "ExtendedOffsetTableLengths")
_TAGS = [*filter(dictionary_has_tag, range(0x00280000, 0x00290000)), *map(tag_for_keyword, _NAMED)]
_NO_PICTURES = {
    "1.2.840.10008.1.3.10": "a DICOMDIR, the list of a disk's files",
    "1.2.840.10008.5.1.4.1.1.104": "a document (PDF or the like)",
    "1.2.840.10008.5.1.4.1.1.88": "a structured report",
    "1.2.840.10008.5.1.4.1.1.11": "a presentation state",
    "1.2.840.10008.5.1.4.1.1.66": "raw data, a segmentation or a registration",
    "1.2.840.10008.5.1.4.1.1.9": "a curve or a waveform",
}  # by the beginning of their classes
_VIDEO = re.compile(r"1\.2\.840\.10008\.1\.2\.4\.10\d(\.1)?")  # MPEG-2, MPEG-4 and HEVC
_TWO_D, _TISSUE = 1, 1  # codes of a region's format and data


def read(path: Path, frame: Frame | None = None) -> tuple[np.ndarray, dict[str, Any]]:
    """Decode one frame.

    Returns
    -------
    ndarray, uint8 (height, width) or (height, width, 3)
        Grey or RGB.
    dict
        ``mode``, ``frames`` and ``masked_share`` of `fetalkit.data.decoding.Picture`.

    Raises
    ------
    FetalkitError
        One line: no ultrasound image, no decoder for how it is compressed, damaged, several frames.
    """
    try:
        header = _header(path)
        _check_kind(path, header)
        frames = get_nr_frames(header, warn=False)
        index = chosen(path, frame, frames) if frames > 1 else 0
        values = _decoded(path, header, index)
        shown = _shown(path, values, header)
        masked = _mask(path, shown, header)
    except FetalkitError:
        raise
    except Exception as error:  # a damaged header or stream ends anywhere in pydicom or in a decoder
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise FetalkitError(f"{path}: DICOM that cannot be decoded ({reason[:200]})") from None
    return shown, {"mode": _mode(header), "frames": frames, "masked_share": masked}


def _header(path: Path, pixels: bool = False) -> Dataset:
    tags: Any = [*_TAGS, *map(tag_for_keyword, _PIXELS)] if pixels else _TAGS
    header = pydicom.dcmread(path, force=True, stop_before_pixels=not pixels, specific_tags=tags)
    if "TransferSyntaxUID" not in header.file_meta:
        implicit = header.original_encoding[0]
        header.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    return header


def _check_kind(path: Path, header: Dataset) -> None:
    """Refuse what is no ultrasound image, and what no installed decoder can read."""
    kind = str(header.get("SOPClassUID") or header.file_meta.get("MediaStorageSOPClassUID") or "")
    for beginning, name in _NO_PICTURES.items():
        if kind == beginning or kind.startswith(f"{beginning}."):
            raise FetalkitError(f"{path}: DICOM, but no image: {name}; leave it out")
    syntax = header.file_meta.TransferSyntaxUID
    if _VIDEO.fullmatch(syntax):
        raise FetalkitError(f"{path}: a video in DICOM ({syntax.name}); save the frames that are wanted as images")
    modality = str(header.get("Modality") or "")
    if modality not in ULTRASOUND:
        raise FetalkitError(f"{path}: DICOM of the modality {modality}, not ultrasound (US); leave it out")
    if not header.get("Rows") or not header.get("Columns"):
        raise FetalkitError(f"{path}: DICOM without an image; leave it out")
    refuse_size(path, header.Columns, header.Rows)
    try:
        readable = get_decoder(syntax).is_available
    except NotImplementedError:
        raise FetalkitError(f"{path}: DICOM that is compressed in a way that is not read ({syntax.name})") from None
    if not readable:
        raise FetalkitError(
            f"{path}: DICOM compressed as {syntax.name}, for which no decoder is installed: pip install 'fetalkit[dicom]'"
        )


def _decoded(path: Path, header: Dataset, index: int) -> np.ndarray:
    """Pixels of one frame, in RGB where they were stored in YBR; the other frames are not decoded."""
    whole = header.file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian or not _has_meta(path)
    return pixel_array(_header(path, pixels=True) if whole else path, index=index)


def _has_meta(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def _shown(path: Path, values: np.ndarray, header: Dataset) -> np.ndarray:
    """8 bits as a viewer shows them: palette, rescaling, window, inversion."""
    kind = str(header.PhotometricInterpretation)
    if kind == "PALETTE COLOR":
        return _palette(path, values, header)
    stored = int(header.BitsStored)
    bits = stored if 8 < stored < 16 else None  # 16 are written where fewer are used: then the pixels tell
    if values.ndim == 3:
        return np.ascontiguousarray(eight_bits(values, bits)[:, :, :3])
    if not kind.startswith("MONOCHROME"):
        raise FetalkitError(f"{path}: DICOM whose pixels are {kind}, which is not read")
    rescaled = apply_modality_lut(values, header)
    if np.array_equal(rescaled, values):
        rescaled = values  # of its own type
    else:
        bits = None
    levels = _windowed(rescaled, header)
    if levels is None:
        levels = eight_bits(rescaled, bits)
    return 255 - levels if kind == "MONOCHROME1" else levels


def _windowed(values: np.ndarray, header: Dataset) -> np.ndarray | None:
    """After the first table or window of interest; None where the file has neither."""
    if header.get("VOILUTSequence"):
        item = cast(Any, header.VOILUTSequence[0])
        entries, first, bits = item.LUTDescriptor
        item.LUTDescriptor = [entries, first, 16]  # pydicom counts entries in the type of what they hold
        return eight_bits(apply_voi(values, header), bits)
    if header.get("WindowCenter") in (None, "") or not header.get("WindowWidth"):
        return None
    black, white = apply_windowing(np.array([-1e30, 1e30]), header)
    shares = (apply_windowing(values, header) - black) / (white - black)
    return np.rint(255 * np.clip(shares, 0, 1)).astype(np.uint8)


def _palette(path: Path, values: np.ndarray, header: Dataset) -> np.ndarray:
    entries = header.RedPaletteColorLookupTableDescriptor[0] or 2**16
    data = header.get("RedPaletteColorLookupTableData")
    if data is not None and entries > 256 and len(data) < 2 * entries:
        raise FetalkitError(f"{path}: DICOM with a palette of {entries} entries of 8 bits, which is not read")
    colours = apply_color_lut(values, header)
    return colours if colours.dtype == np.uint8 else (colours >> 8).astype(np.uint8)


def _mask(path: Path, shown: np.ndarray, header: Dataset) -> float:
    """Black out, in place, what lies outside the 2-D tissue regions; return its share, or NaN where there is no region."""
    regions = header.get("SequenceOfUltrasoundRegions")
    if not regions:
        return float("nan")
    outside = np.ones(shown.shape[:2], bool)
    for region in regions:
        if region.get("RegionSpatialFormat") == _TWO_D and region.get("RegionDataType") == _TISSUE:
            left, top = int(region.RegionLocationMinX0), int(region.RegionLocationMinY0)
            outside[top : int(region.RegionLocationMaxY1) + 1, left : int(region.RegionLocationMaxX1) + 1] = False
    if outside.all():
        raise FetalkitError(f"{path}: none of its ultrasound regions is a 2-D image of tissue; leave it out")
    shown[outside] = 0
    return round(float(outside.mean()), 4)


def _mode(header: Dataset) -> str:
    kind, bits = str(header.PhotometricInterpretation), int(header.BitsStored)
    return "L" if kind.startswith("MONOCHROME") and bits == 8 else f"{kind};{bits}"
