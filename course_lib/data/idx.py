"""The IDX format of the MNIST files: a header of a few big-endian integers, then the data."""

import gzip
import hashlib
import math
import zlib
from pathlib import Path

import numpy as np

# The third byte of a file gives the type of its numbers, which are always big-endian.
TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: str | Path, md5: str | None = None) -> np.ndarray:
    """Read one IDX file, plain or gzipped, and return an array:
    images of shape (N, H, W) or labels of shape (N,).

    md5: the expected checksum of the uncompressed file; None skips the check. Raises ValueError if
    the file is truncated, too long or not in the IDX format, or if its checksum is wrong.
    Source: http://yann.lecun.com/exdb/mnist/.
    """
    array, found = read_idx_with_md5(path)
    if md5 not in (None, found):
        raise ValueError(wrong_checksum(Path(path).name, md5))
    return array


def wrong_checksum(name: str, md5: str | None) -> str:
    """Return the error message for a file with the wrong checksum."""
    return f"{name} has the wrong checksum (its MD5 should be {md5}); download the file again."


def read_idx_with_md5(path: str | Path) -> tuple[np.ndarray, str]:
    """Return the array stored in an IDX file
    and the MD5 checksum of the file's uncompressed bytes.

    Raises ValueError if the file is truncated, too long or not in the IDX format.
    """
    path = Path(path)
    data = _uncompressed(path)
    # the magic number is 0, 0, the type of the numbers and the number of dimensions; sizes follow
    dimensions = data[3] if len(data) > 3 else 0
    start = 4 + 4 * dimensions
    if len(data) > 3 and (data[:2] != b"\0\0" or data[2] not in TYPES or not 1 <= dimensions <= 4):
        problem = f"has the wrong magic number 0x{data[:4].hex()}, so it is not an IDX file"
        raise ValueError(f"{path.name} {problem}; download the file again.")
    if len(data) < max(start, 8):
        problem = f"is truncated in its header (size in bytes: {len(data)})"
        raise ValueError(f"{path.name} {problem}; download the file again.")
    dtype = np.dtype(TYPES[data[2]])
    shape = np.frombuffer(data, ">u4", dimensions, offset=4).tolist()
    promised, found = math.prod(shape) * dtype.itemsize, len(data) - start
    if found != promised:
        wrong = "is truncated" if found < promised else "is too long"
        problem = f"{wrong}: its header declares {promised:,} bytes of data, but {found:,} follow"
        raise ValueError(f"{path.name} {problem}; download the file again.")
    array = np.frombuffer(data, dtype, offset=start).reshape(shape)
    # torch does not support big-endian numbers; arrays of single bytes are not copied
    native = array.astype(dtype.newbyteorder("="), copy=False)
    return native, hashlib.md5(data, usedforsecurity=False).hexdigest()


def _uncompressed(path: Path) -> bytes:
    data = path.read_bytes()
    if data[:2] != b"\x1f\x8b":
        # not gzip; the name proves nothing, because some browsers unpack downloads
        return data
    try:
        return gzip.decompress(data)
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(
            f"{path.name} is truncated or damaged ({error}); download the file again."
        ) from None
