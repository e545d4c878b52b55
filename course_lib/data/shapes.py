"""The shape of an image: (C, H, W), whichever way a batch of images holds it."""

import math
from collections.abc import Sequence

from torch import Tensor

from course_lib import require


def image_shape(images: Tensor, shape: Sequence[int] | None = None) -> tuple[int, int, int]:
    """(C, H, W) of images (N, H, W), (N, C, H, W) or flattened (N, D).

    Flattened images are taken as square, grey or RGB, unless `shape`, (H, W) or (C, H, W), says otherwise.
    Raises ValueError for anything else, and for a `shape` that the images do not have.
    """
    found = tuple(images.shape[1:])
    if shape is not None:
        require.shape(shape)
        channels, height, width = (1, *shape) if len(shape) == 2 else tuple(shape)
        rows = (channels * height * width,)
        same = [rows, (channels, height, width)] + ([(height, width)] if channels == 1 else [])
        if found not in same:
            raise ValueError(f"Each image has shape {found}, which is not shape={tuple(shape)}.")
        return channels, height, width
    if len(found) == 1:
        return _square(found[0])
    if len(found) == 3 and found[2] in (1, 3, 4) and found[0] > found[2]:
        raise ValueError(
            f"Channels come before rows and columns, (N, C, H, W), not last as in {tuple(images.shape)}: "
            "use images.permute(0, 3, 1, 2)."
        )
    if len(found) not in (2, 3) or 0 in found:
        raise ValueError(
            "Images are (N, H, W), (N, C, H, W) or rows of pixels (N, D), "
            f"not {tuple(images.shape)}: for a single image pass image[None]."
        )
    return (1, *found) if len(found) == 2 else found  # type: ignore[return-value]


def _square(pixels: int) -> tuple[int, int, int]:
    # s² and 3·s² are never the same number, so a row of pixels says which of the two it is
    for channels in (1, 3):
        side = math.isqrt(pixels // channels)
        if side and channels * side * side == pixels:
            return channels, side, side
    raise ValueError(
        f"{pixels} pixels do not make a square image, grey or RGB: pass shape=(H, W) or (C, H, W), "
        "or images (N, H, W)."
    )
