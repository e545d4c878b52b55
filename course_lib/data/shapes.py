"""The shape (C, H, W) of an image, inferred from a batch of images in any of the common layouts."""

import math
from collections.abc import Sequence

from torch import Tensor

from course_lib import require


def image_shape(images: Tensor, shape: Sequence[int] | None = None) -> tuple[int, int, int]:
    """Return the shape (C, H, W) of a single image.

    images: shape (N, H, W), (N, C, H, W) or, if flattened, (N, D). Flattened images are assumed to
    be square, and either greyscale or RGB, unless `shape` is given as (H, W) or (C, H, W). Raises
    ValueError if the images have any other shape or do not match `shape`.
    """
    found = tuple(images.shape[1:])
    if shape is not None:
        require.shape(shape)
        channels, height, width = (1, *shape) if len(shape) == 2 else tuple(shape)
        rows = (channels * height * width,)
        same = [rows, (channels, height, width)] + ([(height, width)] if channels == 1 else [])
        if found not in same:
            raise ValueError(
                f"Each image has shape {found}, which does not match shape={tuple(shape)}."
            )
        return channels, height, width
    if len(found) == 1:
        return _square(found[0])
    if len(found) == 3 and found[2] in (1, 3, 4) and found[0] > found[2]:
        raise ValueError(
            "The channels must come before the rows and columns, as in (N, C, H, W), "
            f"but got images of shape {tuple(images.shape)}. Use images.permute(0, 3, 1, 2)."
        )
    if len(found) not in (2, 3) or 0 in found:
        raise ValueError(
            "Images must have shape (N, H, W), (N, C, H, W) or (N, D), "
            f"but got {tuple(images.shape)}. For a single image, pass image[None]."
        )
    return (1, *found) if len(found) == 2 else found  # type: ignore[return-value]


def _square(pixels: int) -> tuple[int, int, int]:
    # no number of pixels is both s² and 3·t², so it determines the number of channels
    for channels in (1, 3):
        side = math.isqrt(pixels // channels)
        if side and channels * side * side == pixels:
            return channels, side, side
    raise ValueError(
        f"{pixels} pixels do not form a square greyscale or RGB image. "
        "Pass shape=(H, W) or shape=(C, H, W), or pass images of shape (N, H, W)."
    )
