"""Small DICOM files of every kind, written with pydicom."""

from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

ULTRASOUND = "1.2.840.10008.5.1.4.1.1.6.1"
PATIENT = {
    "PatientName": "Doe^Jane",
    "PatientID": "SECRET-4711",
    "InstitutionName": "Ward 9",
    "PatientBirthDate": "19900101",
}


def dataset(
    pixels: np.ndarray | None, syntax: str = ExplicitVRLittleEndian, frames: int | None = None, **tags
) -> Dataset:
    """A data set of `pixels` (height, width); colours are a last axis, and frames, where `frames` is given, a first one."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = syntax
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = tags.pop("SOPClassUID", ULTRASOUND)
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["fetalkit"])
    made.Modality = "US"
    for name, value in PATIENT.items():
        setattr(made, name, value)
    if pixels is not None:
        shape = pixels.shape[1:] if frames else pixels.shape
        made.Rows, made.Columns = shape[:2]
        made.SamplesPerPixel = shape[2] if len(shape) == 3 else 1
        made.PhotometricInterpretation = "RGB" if len(shape) == 3 else "MONOCHROME2"
        if len(shape) == 3:
            made.PlanarConfiguration = 0
        if frames:
            made.NumberOfFrames = frames
        made.BitsAllocated = made.BitsStored = pixels.dtype.itemsize * 8
        made.PixelRepresentation = int(pixels.dtype.kind == "i")
        made.PixelData = pixels.tobytes()
    for name, value in tags.items():
        setattr(made, name, value)
    if pixels is not None:
        made.HighBit = made.BitsStored - 1
    return made


def write(path: Path, pixels: np.ndarray | None, **options) -> Path:
    """Write such a data set as a file."""
    pydicom.dcmwrite(path, dataset(pixels, **options), enforce_file_format=True)
    return path


def region(left: int, top: int, right: int, bottom: int, form: int = 1, data: int = 1) -> Dataset:
    """An ultrasound region, its last pixel included; 1 and 1 are two dimensions and tissue."""
    made = Dataset()
    made.RegionSpatialFormat, made.RegionDataType, made.RegionFlags = form, data, 0
    made.RegionLocationMinX0, made.RegionLocationMinY0 = left, top
    made.RegionLocationMaxX1, made.RegionLocationMaxY1 = right, bottom
    return made
