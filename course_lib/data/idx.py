"""The IDX format, in which MNIST is kept: a few big-endian integers, then the bytes."""

import gzip
import hashlib
import math
import zlib
from pathlib import Path

import numpy as np


def read_idx(path: str | Path, md5: str | None = None) -> np.ndarray:
    """Read one IDX file of unsigned bytes, plain or gzipped: (N, H, W) for images, (N,) for labels.

    md5: the sum of the uncompressed file, verified when given. Raises ValueError, in one sentence, for a file
    that is truncated, too long, not IDX or of another sum. Source: http://yann.lecun.com/exdb/mnist/.
    """
    path, data, problem = Path(path), Path(path).read_bytes(), None
    if data[:2] == b"\x1f\x8b":  # gzip, whatever the name says: some browsers unpack a download, some do not
        try:
            data = gzip.decompress(data)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(f"{path.name} is truncated or damaged ({error}); fetch it again.") from None
    # The magic number is 0, 0, 8 (for unsigned bytes), the number of dimensions; their sizes follow.
    start = 4 + 4 * data[3] if len(data) > 3 else 4
    if len(data) > 3 and (data[:3] != b"\0\0\x08" or not 1 <= data[3] <= 4):
        problem = f"has the wrong magic number 0x{data[:4].hex()}, so it holds no IDX of unsigned bytes"
    elif len(data) < max(start, 8):
        problem = f"is truncated in its header: it has {len(data)} bytes"
    else:
        shape = np.frombuffer(data, ">u4", data[3], offset=4).tolist()
        promised, found = math.prod(shape), len(data) - start
        if found != promised:
            wrong = "is truncated" if found < promised else "is too long"
            problem = f"{wrong}: its header promises {promised:,} bytes of data, {found:,} follow"
        elif md5 not in (None, hashlib.md5(data, usedforsecurity=False).hexdigest()):
            problem = f"has the wrong checksum (its MD5 should be {md5})"
    if problem:
        raise ValueError(f"{path.name} {problem}; fetch it again.")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)
