"""A picture of at most 256 colours as a PNG: a third of the size of the RGBA that matplotlib writes."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np


def indexed_png(indices: np.ndarray, palette: np.ndarray) -> bytes:
    """Encode uint8 indices of shape (rows, columns) into a uint8 palette of shape (colours, 3)."""
    rows, columns = indices.shape
    header = struct.pack(">IIBBBBB", columns, rows, 8, 3, 0, 0, 0)  # 8 bits deep, colour type 3: indexed
    unfiltered = np.pad(indices, ((0, 0), (1, 0)))  # each row begins with its filter, 0: none
    chunks = {
        b"IHDR": header,
        b"PLTE": palette.tobytes(),
        b"IDAT": zlib.compress(unfiltered.tobytes(), 9),
        b"IEND": b"",
    }
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in chunks.items())


def data_uri(png: bytes) -> str:
    """A PNG as the address of itself."""
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
