"""Read and write PSI-BIN, the raw files of the muon spectrometers at PSI.

Little-endian: a header of 1024 bytes, then the histograms one after the other, an int32 for each bin.

======  ===========  ==================================================================
 byte   type         what
======  ===========  ==================================================================
     0  2 char       ``1N``
     2  int16        time-resolution code k
     6  uint16       run number
    28  uint16       bins per histogram
    30  uint16       number of histograms, at most 16
   138  10 char      sample
   148  10 char      temperature, ``4.500K``
   158  10 char      field, ``150.000G``
   218  9 char       start date (227: stop date; 236, 244, 8 char: start and stop time)
   424  int32        total events
   458  int16[16]    time zero of each histogram, in bins
   490  int16[16]    first good bin of each histogram
   522  int16[16]    last good bin of each histogram
   860  62 char      comment
   948  16 x 4 char  label of each histogram
  1012  float32      bin width in us, or 0: then it is 0.125 x 0.625 ns x 2^k
  1024  int32        the counts
======  ===========  ==================================================================

Text is padded with blanks or NUL. Source: five runs of GPS, 2006; a good plot with the wrong bin width looks right and
gives a wrong lifetime, so the width has one function here.
"""

from __future__ import annotations

import dataclasses
import math
import os
import struct

import numpy as np
import numpy.typing as npt

HEADER = 1024
HISTOGRAMS = 16
UNIT = 0.125 * 0.625e-3
"""Bin width in us for resolution code 0."""

TEXTS = {"sample": (138, 10), "temperature": (148, 10), "field": (158, 10), "comment": (860, 62)}


class BadFile(Exception):
    """The file is no whole PSI-BIN file; the message says why in one line."""


@dataclasses.dataclass(frozen=True, slots=True)
class Measurement:
    """One muon run as it is in the file."""

    run: int
    bin_width: float
    """us"""
    time_zero: tuple[int, ...]
    """Of each histogram, in bins; so are the good bins, which may lie anywhere."""
    first_good: tuple[int, ...]
    last_good: tuple[int, ...]
    labels: tuple[str, ...]
    counts: npt.NDArray[np.int32]
    """One row for each histogram, one column for each bin."""
    sample: str = ""
    temperature: str = ""
    field: str = ""
    comment: str = ""


def read(path: str | os.PathLike[str]) -> Measurement:
    """Read a whole file.

    Raises: BadFile if it is something else, truncated or empty; OSError if it can't be read.
    """
    with open(path, "rb") as file:
        raw = file.read()
    if raw and raw[:2] != b"1N":
        raise BadFile(f"{path}: no PSI-BIN file: it begins with {raw[:2]!r}, not with b'1N'")
    if len(raw) < HEADER:
        raise BadFile(f"{path}: truncated: {len(raw)} bytes, the header alone has {HEADER}")
    bins, histograms = struct.unpack_from("<2H", raw, 28)
    if not bins or not 0 < histograms <= HISTOGRAMS:
        raise BadFile(f"{path}: broken header: {histograms} histograms of {bins} bins")
    expected = HEADER + 4 * bins * histograms
    if len(raw) != expected:
        fault = "truncated" if len(raw) < expected else "too long"
        raise BadFile(f"{path}: {fault}: {len(raw)} bytes, {histograms} histograms of {bins} bins take {expected}")
    return _checked(path, _unpack(raw, bins, histograms))


def write(path: str | os.PathLike[str], measurement: Measurement) -> None:
    """Write the file under a temporary name and rename it: a file of that name is always whole."""
    part = f"{os.fspath(path)}.part"
    with open(part, "wb") as file:
        file.write(_pack(measurement))
    os.replace(part, path)


def bin_width(code: int, width: float) -> float:
    """Bin width in us from the resolution code and the float at byte 1012, which goes first unless it is 0."""
    return width or math.ldexp(UNIT, code)


def _unpack(raw: bytes, bins: int, histograms: int) -> Measurement:
    def shorts(offset: int) -> tuple[int, ...]:
        return struct.unpack_from(f"<{histograms}h", raw, offset)

    def text(offset: int, size: int) -> str:
        return raw[offset : offset + size].decode("latin-1").strip(" \0")

    (code,) = struct.unpack_from("<h", raw, 2)
    (run,) = struct.unpack_from("<H", raw, 6)
    (width,) = struct.unpack_from("<f", raw, 1012)
    return Measurement(
        run=run,
        bin_width=bin_width(code, width) if abs(code) < 64 else math.nan,
        time_zero=shorts(458),
        first_good=shorts(490),
        last_good=shorts(522),
        labels=tuple(text(948 + 4 * i, 4) or f"h{i}" for i in range(histograms)),
        counts=np.frombuffer(raw, "<i4", bins * histograms, HEADER).reshape(histograms, bins),
        **{name: text(*place) for name, place in TEXTS.items()},
    )


def _checked(path: str | os.PathLike[str], measurement: Measurement) -> Measurement:
    """The measurement, if it may be one."""
    bins = measurement.counts.shape[1]
    if not 1e-6 < measurement.bin_width < 1e3:
        raise BadFile(f"{path}: broken header: a bin width of {measurement.bin_width:g} us")
    if not all(0 <= zero < bins for zero in measurement.time_zero):
        raise BadFile(f"{path}: broken header: time zero {measurement.time_zero} outside {bins} bins")
    if measurement.counts.min() < 0:
        raise BadFile(f"{path}: broken data: negative counts")
    if not measurement.counts.any():
        raise BadFile(f"{path}: no counts: an empty run")
    return measurement


def _pack(measurement: Measurement) -> bytes:
    histograms, bins = measurement.counts.shape
    code = round(math.log2(measurement.bin_width / UNIT))
    exact = math.isclose(math.ldexp(UNIT, code), measurement.bin_width)
    raw = bytearray(HEADER)
    struct.pack_into("<2sh", raw, 0, b"1N", code)
    struct.pack_into("<H", raw, 6, measurement.run)
    struct.pack_into("<2H", raw, 28, bins, histograms)
    struct.pack_into("<i", raw, 424, int(measurement.counts.sum()))
    struct.pack_into(f"<{histograms}h", raw, 458, *measurement.time_zero)
    struct.pack_into(f"<{histograms}h", raw, 490, *measurement.first_good)
    struct.pack_into(f"<{histograms}h", raw, 522, *measurement.last_good)
    struct.pack_into("<f", raw, 1012, 0.0 if exact else measurement.bin_width)
    for name, (offset, size) in TEXTS.items():
        struct.pack_into(f"<{size}s", raw, offset, getattr(measurement, name).encode("latin-1"))
    for i, label in enumerate(measurement.labels):
        struct.pack_into("<4s", raw, 948 + 4 * i, label.encode("latin-1"))
    return bytes(raw) + measurement.counts.astype("<i4").tobytes()
