"""Check the arguments of the widgets that show images, and combine many images into one picture.

In this module, an image has shape (H, W, C), with C = 1 for grey or 3 for red, green and blue.
Arguments have PyTorch's layout, (C, H, W), or (H, W) for grey images.
"""

import base64
import io
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from PIL import Image

from course_lib.widgets.arrays import as_array
from course_lib.widgets.asking import sentence

if TYPE_CHECKING:  # only a caller with a decoder needs PyTorch
    from torch import Tensor

Decoder: TypeAlias = "Callable[[Tensor], Any]"
# Bytes per sprite, so that one notebook has room for several widgets and their pictures.
MOST = 120_000


def pictures(decode: Decoder, z: "Tensor", name: str = "decode") -> np.ndarray:
    """Decode each code z into m images.

    The codes have shape (n, d). The result has dtype float32 and shape (n, m, H, W, C), with pixels
    in [0, 1].

    `decode` must return an array of shape (n, H, W) or (n, 1, H, W) for grey images, (n, 3, H, W)
    for colour, (n, m, H, W) for m grey images, or (n, m, C, H, W) for m images with one or three
    channels.

    Raises ValueError for any other shape, for NaN or infinity, and for pixels outside [0, 1].
    """
    import torch

    try:
        with torch.no_grad():
            x = decode(z)
    except (RuntimeError, ValueError) as error:
        # z has the wrong length, or the model is not a function of z
        raise ValueError(
            f"{name}(z) must accept z of shape {tuple(z.shape)} and return images, like `lambda z: "
            f"vae.likelihood(z).mean.reshape(-1, H, W)`, but it failed with: {sentence(error)}."
        ) from error
    if not isinstance(x, torch.Tensor | np.ndarray):
        raise ValueError(
            f"{name}(z) must return a tensor, but returned {type(x).__name__}. "
            "For a distribution, return its .mean."
        )
    channels = channels_of(x.shape)
    if channels is None or len(x) != len(z) or 0 in x.shape:
        side = math.isqrt(x.shape[-1]) if x.ndim == 2 else 0
        size = f"{side}, {side}" if side and side * side == x.shape[-1] else "H, W"
        raise ValueError(
            f"For z of shape {tuple(z.shape)}, {name}(z) must return images "
            f"of shape ({len(z)}, H, W), ({len(z)}, 3, H, W) for colour, "
            f"or ({len(z)}, m, H, W) for m images per code, but got {tuple(x.shape)}. "
            f"Reshape rows of pixels with .reshape(-1, {size})."
        )
    pixels = torch.as_tensor(x).cpu().float()
    stored = pixels.reshape(len(z), -1, channels, *x.shape[-2:])  # (n, m, C, H, W)
    images = stored.movedim(2, -1).numpy()  # (n, m, H, W, C)
    bad = ~np.isfinite(images).all((1, 2, 3, 4))  # (n,)
    if bad.any():
        where = ", ".join(f"{v:.2f}" for v in z[int(bad.argmax())].tolist())
        raise ValueError(
            f"{name}(z) returned NaN or infinity at z = ({where}). Check the weights of the model."
        )
    return in_range(images, f"{name}(z) returned")


def channels_of(shape: Any) -> int | None:
    """Return the number of channels, 1 or 3, of images with a given shape.

    Returns None if the shape is not a valid image shape.
    """
    if len(shape) == 3:
        return 1
    if len(shape) == 4:
        return 3 if shape[1] == 3 else 1
    if len(shape) == 5 and shape[2] in (1, 3):
        return shape[2]
    return None


def in_range(images: np.ndarray, says: str) -> np.ndarray:
    """Clip images to [0, 1].

    Raises ValueError if a pixel is outside [0, 1] by more than rounding error.
    """
    low, high = float(images.min()), float(images.max())
    if low < -1e-3 or high > 1 + 1e-3:  # anything below one grey level is rounding
        raise ValueError(
            f"{says} pixels from {low:.2f} to {high:.2f}, outside [0, 1]. "
            "Apply a sigmoid to logits, and divide bytes by 255."
        )
    return images.clip(0, 1)


def image_stack(x: Any, name: str) -> np.ndarray:
    """Convert images to a float32 array of shape (N, H, W, C).

    x: images of shape (N, H, W), (N, 1, H, W), (N, 3, H, W), or (N, H·W) if they are square. Raises
    ValueError for anything else.
    """
    try:
        images = as_array(x, np.float32)
    except (TypeError, RuntimeError, ValueError):  # None, text, rows of different lengths
        raise ValueError(
            f"{name} must be an array of images with shape (N, H, W), but got {type(x).__name__}."
        ) from None
    side = math.isqrt(images.shape[1]) if images.ndim == 2 else 0
    if side and side * side == images.shape[1]:
        images = images.reshape(-1, side, side)
    coloured = images.ndim == 4 and images.shape[1] in (1, 3)
    if not (images.ndim == 3 or coloured) or 0 in images.shape:
        raise ValueError(
            f"{name} must contain images of shape (N, H, W), (N, 3, H, W) in colour, or (N, H·W) "
            f"if they are square, but got {images.shape}."
        )
    images = np.moveaxis(images, 1, -1) if coloured else images[..., None]  # (N, H, W, C)
    bad = ~np.isfinite(images).all((1, 2, 3))  # (N,)
    if bad.any():
        raise ValueError(f"{name} contains NaN or infinity in image {int(bad.argmax())}.")
    return in_range(images, f"{name} contains")


def sheet(images: np.ndarray) -> np.ndarray:
    """Join images into one picture.

    The images have shape (rows, columns, H, W, C) and pixels in [0, 1]. The picture has dtype uint8
    and shape (rows·H, columns·W), or (rows·H, columns·W, 3) in colour.
    """
    rows, columns, height, width, channels = images.shape
    flat = images.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, channels)
    picture = np.round(255 * flat).astype(np.uint8)
    return picture if channels == 3 else picture[..., 0]


def data_url(images: np.ndarray) -> str:
    """Join images into a data URL: a PNG if it fits in MOST bytes, or else the best JPEG that fits.

    If even the smallest JPEG does not fit, it is used nevertheless.
    """
    picture = Image.fromarray(sheet(images))
    tries = (("png", 0), ("jpeg", 85), ("jpeg", 60), ("jpeg", 30), ("jpeg", 10), ("jpeg", 5))
    for kind, quality in tries:
        file = io.BytesIO()
        picture.save(file, kind, quality=quality)
        if file.tell() <= MOST:
            break
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


def plane_points(points: Any, labels: Any) -> dict[str, list]:
    """Convert points and labels to lists; None becomes an empty list.

    The points, of shape (N, 2), are rounded for display. The labels have shape (N,). Raises
    ValueError for points or labels that cannot be drawn.
    """
    if points is None:
        return {"points": [], "labels": []}
    z = as_array(points)  # (N, 2)
    if z.ndim != 2 or z.shape[1] != 2 or not 1 <= len(z) <= 3000 or not np.isfinite(z).all():
        raise ValueError(
            "points must be finite and have shape (N, 2), with N from 1 to 3,000, "
            f"but got {z.shape}. If you have more than 3,000 points, pass a subset."
        )
    if labels is None:
        return {"points": z.round(3).tolist(), "labels": []}
    y = as_array(labels)  # (N,)
    wrong = ~np.isin(y, range(10))
    if y.shape != z.shape[:1] or wrong.any():
        found = f"the label {y[wrong][0]:g}" if y.shape == z.shape[:1] else y.shape
        raise ValueError(
            f"labels must contain a digit from 0 to 9 for each of the {len(z)} points, "
            f"but got {found}."
        )
    return {"points": z.round(3).tolist(), "labels": y.astype(int).tolist()}


def line_ends(names: Any, limits: Any) -> list[list[float]]:
    """Return the limits [low, high] of each model in `names`, which contains one to four names.

    Raises ValueError for any other number of names, and for limits that are missing or unusable.
    """
    if not 1 <= len(names) <= 4:
        raise ValueError(f"Pass one to four models, not {len(names)}.")
    ends = [[float(end) for end in (limits or {}).get(name, ())] for name in names]
    for name, pair in zip(names, ends, strict=True):
        if len(pair) != 2 or not np.isfinite(pair).all() or pair[0] == pair[1]:
            raise ValueError(
                f"{name!r} needs two different finite limits, "
                f"such as limits={{{name!r}: (low, high)}}."
            )
    return ends
