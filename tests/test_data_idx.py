"""Each fault of an IDX file is named in one sentence; sound files equal what was written."""

import gzip
import hashlib
import struct

import numpy as np
import pytest
from torchvision.datasets.mnist import read_image_file

from course_lib.data import read_idx


def as_idx(array: np.ndarray) -> bytes:
    """The bytes of an IDX file, written from the format's description."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


IMAGES = np.random.default_rng(0).integers(0, 256, (7, 5, 4), dtype=np.uint8)
LABELS = np.arange(7, dtype=np.uint8)
WHOLE = as_idx(IMAGES)


@pytest.mark.parametrize("array", [IMAGES, LABELS, IMAGES[:0]], ids=["images", "labels", "none"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_reads_what_was_written(tmp_path, array, pack):
    path = tmp_path / "digits"
    path.write_bytes(pack(as_idx(array)))
    md5 = hashlib.md5(as_idx(array)).hexdigest()
    np.testing.assert_array_equal(read_idx(path, md5), array)


def test_equals_torchvision(tmp_path):
    path = tmp_path / "digits"
    path.write_bytes(WHOLE)
    np.testing.assert_array_equal(read_idx(path), read_image_file(str(path)).numpy())


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "is truncated in its header (size in bytes: 0)"),
        (WHOLE[:3], "is truncated in its header (size in bytes: 3)"),
        (WHOLE[:10], "is truncated in its header (size in bytes: 10)"),
        (WHOLE[:-1], "is truncated: its header declares 140 bytes of data, but 139 follow"),
        (WHOLE + b"x", "is too long: its header declares 140 bytes of data, but 141 follow"),
        # a login page in place of the file
        (b"<!DOCTYPE html>", "has the wrong magic number 0x3c21444f"),
        (b"\0\0\x0a\x03" + WHOLE[4:], "has the wrong magic number 0x00000a03"),  # no type of IDX
        (
            b"\0\0\x0d\x03" + WHOLE[4:],
            "is truncated: its header declares 560 bytes",
        ),  # floats
        (b"\0\0\x08\x00", "has the wrong magic number 0x00000800"),  # no dimension
        (gzip.compress(WHOLE)[:-9], "is truncated or damaged"),
        (
            gzip.compress(WHOLE)[:10] + b"\xff" + gzip.compress(WHOLE)[11:],
            "is truncated or damaged",
        ),
    ],
)
def test_damage_is_named(tmp_path, data, sentence):
    path = tmp_path / "digits"
    path.write_bytes(data)
    with pytest.raises(ValueError) as caught:
        read_idx(path)
    assert str(caught.value).startswith(f"digits {sentence}")
    assert str(caught.value).endswith("; download the file again.")
    assert str(caught.value).count(". ") == 0  # one sentence


def test_wrong_checksum(tmp_path):
    path = tmp_path / "digits"
    path.write_bytes(WHOLE[:-1] + bytes([WHOLE[-1] ^ 1]))  # one bit: the format cannot tell
    read_idx(path)
    with pytest.raises(ValueError, match="digits has the wrong checksum"):
        read_idx(path, hashlib.md5(WHOLE).hexdigest())


@pytest.mark.parametrize(
    ("code", "dtype"), [(0x09, "i1"), (0x0B, ">i2"), (0x0C, ">i4"), (0x0D, ">f4"), (0x0E, ">f8")]
)
def test_numbers_of_every_type_are_read_with_their_bytes_in_order(tmp_path, code, dtype):
    """QMNIST's labels are 32-bit integers; the first byte of each is the largest."""
    array = np.array([[1, -2, 3], [100, 5, 6]], dtype)
    path = tmp_path / "numbers"
    path.write_bytes(struct.pack(">BBBB2I", 0, 0, code, 2, *array.shape) + array.tobytes())
    found = read_idx(path)
    np.testing.assert_array_equal(found, array)
    assert found.dtype.isnative
