"""DICOM: what a viewer shows, without what is written around the scan."""

import logging
import warnings

import numpy as np
import pydicom
import pytest
import small_dicom
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.pixels.processing import convert_color_space
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)
from small_dicom import region, write

from fetalkit.cohorts import audit
from fetalkit.data import decoding, images
from fetalkit.utils.errors import FetalkitError

WIDTH, HEIGHT = 48, 32
RAMP = (np.arange(WIDTH * HEIGHT) * 7 % 256).reshape(HEIGHT, WIDTH).astype(np.uint8)
COLOUR = np.dstack([RAMP, 255 - RAMP, RAMP // 2])
SMOOTH = np.add.outer(np.arange(HEIGHT) * 3, np.arange(WIDTH) * 3).astype(np.uint8)


def grey(path, frame=None):
    return np.asarray(images.canonical(images.read(path, frame)))


def luma(rgb):
    return np.asarray(Image.fromarray(rgb).convert("L"))


@pytest.mark.parametrize("name", ["a.dcm", "renamed.png", "IM_0001", "x.txt"])
def test_it_is_known_by_its_content(tmp_path, name):
    path = write(tmp_path / name, RAMP)
    assert np.array_equal(grey(path), RAMP)
    picture = decoding.read(path)
    assert (picture.format, picture.mode, picture.frames) == ("DICOM", "L", 1) and np.isnan(picture.masked_share)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("deep", [False, True])
def test_other_ways_to_write_it(tmp_path, syntax, deep):
    pixels = RAMP.astype(np.uint16) * 257 if deep else RAMP
    stored = pixels.astype(">u2") if deep and syntax == ExplicitVRBigEndian else pixels
    assert np.array_equal(grey(write(tmp_path / "x", stored, syntax=syntax)), RAMP)


@pytest.mark.parametrize("implicit", [True, False])
def test_older_files_without_a_preamble(tmp_path, implicit):
    made = small_dicom.dataset(RAMP)
    del made.file_meta
    pydicom.dcmwrite(tmp_path / "x", made, implicit_vr=implicit, little_endian=True)
    assert (tmp_path / "x").read_bytes()[128:132] != b"DICM"
    assert np.array_equal(grey(tmp_path / "x"), RAMP)


@pytest.mark.parametrize("stored", [10, 12, 14])
def test_bits_stored_tell_what_is_white(tmp_path, stored):
    pixels = (RAMP.astype(np.uint16) * (2**stored // 256)) // 3  # a dark image, which the values alone would brighten
    path = write(tmp_path / "x", pixels, BitsStored=stored)
    assert np.array_equal(grey(path), np.rint(pixels * (255 / (2**stored - 1))).astype(np.uint8))


def test_sixteen_stored_of_which_twelve_are_used(tmp_path):
    path = write(tmp_path / "x", RAMP.astype(np.uint16) * 16)
    assert np.abs(grey(path).astype(int) - RAMP).max() <= 1
    assert decoding.read(path).mode == "MONOCHROME2;16"


def test_inversion(tmp_path):
    for number, (factor, options) in enumerate([(1, {}), (16, {"BitsStored": 12})]):
        pixels = (255 - RAMP).astype(np.uint16) * factor if factor > 1 else 255 - RAMP
        path = write(tmp_path / str(number), pixels, PhotometricInterpretation="MONOCHROME1", **options)
        assert np.abs(grey(path).astype(int) - RAMP).max() <= 1


def test_window(tmp_path):
    plain = write(tmp_path / "plain", RAMP, WindowCenter=128, WindowWidth=256)
    assert np.array_equal(grey(plain), RAMP), "the window of all eight bits"
    narrow = grey(write(tmp_path / "narrow", RAMP, WindowCenter=100.5, WindowWidth=101))  # 50 to 150
    assert np.abs(narrow.astype(int) - np.clip((RAMP - 50.0) / 100, 0, 1) * 255).max() < 0.51
    deep = write(tmp_path / "deep", RAMP.astype(np.uint16) * 4, BitsStored=12, WindowCenter=512, WindowWidth=1024)
    assert np.abs(grey(deep).astype(int) - np.rint(RAMP * (4 * 255 / 1023))).max() <= 1, "ten of twelve bits are shown"
    several = write(tmp_path / "several", RAMP, WindowCenter=[128, 40], WindowWidth=[256, 10])
    assert np.array_equal(grey(several), RAMP), "the first of several windows"
    nothing = write(tmp_path / "nothing", RAMP, WindowCenter="", WindowWidth="")
    assert np.array_equal(grey(nothing), RAMP)
    width0 = write(tmp_path / "width0", RAMP, WindowCenter=0, WindowWidth=0)
    assert np.array_equal(grey(width0), RAMP)


def table(entries, first, bits, values):
    made = Dataset()
    made.LUTDescriptor, made.LUTData = [entries, first, bits], np.asarray(values).astype("<u2").tobytes()
    made["LUTData"].VR = "OW"
    return made


@pytest.mark.parametrize("bits", [8, 12])
def test_table_of_interest(tmp_path, bits):
    """Also one of 4096 entries of 8 bits, more than 8 bits can count."""
    white = 2**bits - 1
    entries = np.rint(np.sqrt(np.arange(4096) / 4095) * white)
    pixels = RAMP.astype(np.uint16) * 16
    path = write(tmp_path / "x", pixels, BitsStored=12, VOILUTSequence=[table(4096, 0, bits, entries)])
    expected = np.rint(entries[pixels] * (255 / white))
    assert np.abs(grey(path).astype(int) - expected).max() <= 1


def test_rescaling(tmp_path):
    same = write(tmp_path / "same", RAMP // 128, RescaleSlope=1, RescaleIntercept=0)
    assert grey(same).max() == 1, "one times the values are the values"
    moved = write(tmp_path / "moved", RAMP, RescaleSlope=2, RescaleIntercept=-100, WindowCenter=156, WindowWidth=512)
    assert np.abs(grey(moved).astype(int) - RAMP).max() <= 1
    values = write(tmp_path / "table", RAMP, ModalityLUTSequence=[table(256, 0, 16, (255 - np.arange(256)) * 257)])
    assert np.array_equal(grey(values), 255 - RAMP)


def test_signed(tmp_path):
    pixels = RAMP.astype(np.int16) - 128
    assert np.array_equal(grey(write(tmp_path / "x", pixels)), RAMP), "from the darkest to the brightest"


@pytest.mark.parametrize("planar", [0, 1])
def test_colour(tmp_path, planar):
    pixels = COLOUR if planar == 0 else np.ascontiguousarray(COLOUR.transpose(2, 0, 1))
    made = small_dicom.dataset(COLOUR, PlanarConfiguration=planar)
    made.PixelData = pixels.tobytes()
    pydicom.dcmwrite(tmp_path / "x", made, enforce_file_format=True)
    assert np.array_equal(grey(tmp_path / "x"), luma(COLOUR))


def test_luminance_and_chrominance(tmp_path):
    ybr = convert_color_space(COLOUR, "RGB", "YBR_FULL")
    path = write(tmp_path / "full", ybr, PhotometricInterpretation="YBR_FULL")
    assert np.abs(grey(path).astype(int) - luma(COLOUR)).max() <= 1
    halved = ybr.reshape(-1, 2, 3)  # two luminances, then the chrominance of the first
    packed = np.column_stack([halved[:, :, 0], halved[:, 0, 1:]])
    made = small_dicom.dataset(COLOUR, PhotometricInterpretation="YBR_FULL_422")
    made.PixelData = packed.astype(np.uint8).tobytes()
    pydicom.dcmwrite(tmp_path / "half", made, enforce_file_format=True)
    flat = np.dstack([SMOOTH] * 3)
    ybr = convert_color_space(flat, "RGB", "YBR_FULL").reshape(-1, 2, 3)
    made = small_dicom.dataset(flat, PhotometricInterpretation="YBR_FULL_422")
    made.PixelData = np.column_stack([ybr[:, :, 0], ybr[:, 0, 1:]]).astype(np.uint8).tobytes()
    pydicom.dcmwrite(tmp_path / "half", made, enforce_file_format=True)
    assert np.abs(grey(tmp_path / "half").astype(int) - SMOOTH).max() <= 1


@pytest.mark.parametrize("depth", [8, 16])
def test_palette(tmp_path, depth):
    factor = 257 if depth == 16 else 1
    tags: dict = {"PhotometricInterpretation": "PALETTE COLOR"}
    for name, column in zip(("Red", "Green", "Blue"), COLOUR.reshape(-1, 3)[:256].T, strict=True):
        tags[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, depth]
        tags[f"{name}PaletteColorLookupTableData"] = (column.astype(f"<u{depth // 8}") * factor).tobytes()
    expected = COLOUR.reshape(-1, 3)[:256][RAMP]
    assert np.array_equal(grey(write(tmp_path / "x", RAMP, **tags)), luma(expected))


def test_what_lies_outside_the_scan_is_masked(tmp_path):
    bright = np.maximum(RAMP, 50)
    path = write(tmp_path / "one", bright, SequenceOfUltrasoundRegions=[region(10, 5, 29, 24)])
    expected = np.zeros_like(bright)
    expected[5:25, 10:30] = bright[5:25, 10:30]
    assert np.array_equal(grey(path), expected)
    assert decoding.read(path).masked_share == pytest.approx(1 - 400 / (WIDTH * HEIGHT), abs=1e-4)
    regions = [region(0, 0, 9, 31), region(30, 0, 90, 31), region(10, 0, 29, 31, form=2), region(12, 0, 13, 9, data=3)]
    path = write(tmp_path / "two", np.dstack([bright] * 3), SequenceOfUltrasoundRegions=regions)
    expected = bright.copy()
    expected[:, 10:30] = 0
    assert np.array_equal(grey(path), expected), "of M-mode and Doppler nothing stays"
    inverted = write(
        tmp_path / "three",
        255 - bright,
        PhotometricInterpretation="MONOCHROME1",
        SequenceOfUltrasoundRegions=[region(0, 0, 47, 15)],
    )
    assert grey(inverted)[16:].max() == 0 and np.array_equal(grey(inverted)[:16], bright[:16])
    with pytest.raises(FetalkitError, match="none of its ultrasound regions is a 2-D image of tissue"):
        images.read(write(tmp_path / "four", bright, SequenceOfUltrasoundRegions=[region(0, 0, 47, 31, form=3)]))


def test_frames(tmp_path):
    levels = np.stack([np.full((HEIGHT, WIDTH), level, np.uint8) for level in (50, 100, 150, 200)])
    levels[:, 0, 0] = 255
    path = write(tmp_path / "grey", levels, frames=4)
    with pytest.raises(FetalkitError, match="grey: holds 4 frames; say which"):
        images.read(path)
    for frame, level in (("first", 50), ("middle", 100), (4, 200)):
        assert grey(path, frame)[1, 1] == level
    with pytest.raises(FetalkitError, match="holds 4 frames, and frame 9 is asked for"):
        images.read(path, 9)
    colour = write(tmp_path / "colour", np.stack([COLOUR, 255 - COLOUR]), frames=2)
    assert np.array_equal(grey(colour, 2), luma(255 - COLOUR))
    assert decoding.read(colour, 2).frames == 2
    assert np.array_equal(grey(write(tmp_path / "one", RAMP[None], frames=1)), RAMP)


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
@pytest.mark.parametrize("pixels", [RAMP, RAMP.astype(np.uint16) * 257, COLOUR], ids=["grey", "deep", "colour"])
def test_compressed_without_loss(tmp_path, syntax, pixels):
    made = small_dicom.dataset(pixels)
    if syntax == JPEG2000Lossless and pixels.ndim == 3:
        made.PhotometricInterpretation = "YBR_RCT"
    made.compress(syntax, encoding_plugin="pydicom" if syntax == RLELossless else "pylibjpeg")
    pydicom.dcmwrite(tmp_path / "x", made, enforce_file_format=True)
    assert np.array_equal(grey(tmp_path / "x"), luma(COLOUR) if pixels.ndim == 3 else RAMP)


def test_compressed_as_jpeg(tmp_path):
    from io import BytesIO

    from pydicom.encaps import encapsulate

    for number, (pixels, kind) in enumerate([(SMOOTH, "MONOCHROME2"), (np.dstack([SMOOTH] * 3), "YBR_FULL_422")]):
        stream = BytesIO()
        Image.fromarray(pixels).save(stream, "JPEG", quality=95)
        made = small_dicom.dataset(pixels, PhotometricInterpretation=kind)
        made.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
        made.PixelData = encapsulate([stream.getvalue()])
        made["PixelData"].VR = "OB"
        pydicom.dcmwrite(tmp_path / str(number), made, enforce_file_format=True)
        assert np.abs(grey(tmp_path / str(number)).astype(int) - SMOOTH).max() <= 4


@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, JPEGLSLossless])
def test_a_decoder_that_is_not_installed_is_named(tmp_path, monkeypatch, syntax):
    from pydicom.pixels.decoders.base import get_decoder

    decoder = get_decoder(syntax)
    monkeypatch.setattr(decoder, "_available", {})
    path = write(tmp_path / "x", RAMP, syntax=ImplicitVRLittleEndian)
    content = path.read_bytes().replace(b"1.2.840.10008.1.2\0", f"{syntax}".encode()[:18])  # its header alone is read
    made = pydicom.dcmread(path)
    made.file_meta.TransferSyntaxUID = syntax
    from pydicom.encaps import encapsulate

    made.PixelData = encapsulate([content[:64]])
    made["PixelData"].VR = "OB"
    pydicom.dcmwrite(path, made, enforce_file_format=True, implicit_vr=False, little_endian=True)
    with pytest.raises(FetalkitError) as error:
        images.read(path)
    assert "for which no decoder is installed: pip install 'fetalkit[dicom]'" in str(error.value)
    assert syntax.name in str(error.value) and "\n" not in str(error.value)


VIDEO, DOCUMENT = "1.2.840.10008.1.2.4.102", "1.2.840.10008.5.1.4.1.1.104.1"


@pytest.mark.parametrize(
    ("pixels", "options", "words"),
    [
        (None, {}, "DICOM without an image; leave it out"),
        (None, {"SOPClassUID": DOCUMENT}, "DICOM, but no image: a document"),
        (None, {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.33"}, "no image: a structured report"),
        (None, {"SOPClassUID": "1.2.840.10008.1.3.10"}, "no image: a DICOMDIR"),
        (RAMP, {"Modality": "MR"}, "DICOM of the modality MR, not ultrasound"),
        (RAMP, {"Rows": 400}, "DICOM that cannot be decoded"),
        (RAMP, {"BitsAllocated": 12}, "DICOM that cannot be decoded"),
        (RAMP, {"PhotometricInterpretation": "HSV"}, "DICOM whose pixels are HSV"),
        (RAMP[:1, :1], {}, "1 x 1 px: no scan"),
        (RAMP, {"Rows": 60000, "Columns": 60000}, "larger than any scan"),
        (np.full((HEIGHT, WIDTH), np.nan, np.float32), {"float": True}, "are no number"),
    ],
)
def test_a_bad_file_is_one_line_without_a_name(tmp_path, pixels, options, words):
    options = dict(options)
    made = small_dicom.dataset(pixels, **{name: value for name, value in options.items() if name != "float"})
    if "float" in options:
        made.FloatPixelData = made.PixelData
        del made.PixelData
    pydicom.dcmwrite(tmp_path / "x.dcm", made, enforce_file_format=True)
    with pytest.raises(FetalkitError) as error:
        images.read(tmp_path / "x.dcm")
    message = str(error.value)
    assert words in message and "\n" not in message, message
    assert not any(value in message for value in small_dicom.PATIENT.values())


def test_a_video_is_refused(tmp_path):
    made = small_dicom.dataset(RAMP)
    made.file_meta.TransferSyntaxUID = VIDEO
    from pydicom.encaps import encapsulate

    made.PixelData = encapsulate([b"\0" * 64])
    made["PixelData"].VR = "OB"
    pydicom.dcmwrite(tmp_path / "x.dcm", made, enforce_file_format=True)
    with pytest.raises(FetalkitError, match="a video in DICOM .*save the frames"):
        images.read(tmp_path / "x.dcm")


@pytest.mark.parametrize("length", [140, 300, 900, 1400])
def test_half_a_file_is_one_line(tmp_path, length):
    path = write(tmp_path / "x.dcm", RAMP)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(FetalkitError) as error:
        images.read(path)
    assert "DICOM" in str(error.value) and "\n" not in str(error.value)


def test_nothing_of_a_header_is_told(tmp_path, image_folder, caplog, capsys):
    """Neither in the table of the audit nor in a warning about a value that breaks the standard."""
    root, rows = image_folder
    bad = {"PatientBirthDate": "born in 1990 SECRET", "PatientAge": "SECRET years", "StudyInstanceUID": "SECRET"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = small_dicom.dataset(RAMP)
        for name, value in bad.items():
            made.add_new(pydicom.datadict.tag_for_keyword(name), pydicom.datadict.dictionary_VR(name), value)
        pydicom.dcmwrite(root / "p00_0.png", made, enforce_file_format=True)
    with caplog.at_level(logging.DEBUG), warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        index, _ = audit.scan(root, rows)
    text = index.to_csv() + caplog.text + "".join(capsys.readouterr()) + "".join(str(one.message) for one in told)
    assert not any(value in text for value in [*small_dicom.PATIENT.values(), "SECRET"])
    assert index.format[0] == "DICOM" and np.isnan(index.masked_share[0])
