"""What the widgets of decoders are given, checked, and many images as one that travels inside a page.

Here an image is (H, W, C), C = 1 for grey or 3 for red, green, blue, as a screen wants it. What comes in is
as PyTorch stores it, (C, H, W), or (H, W) for grey.
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
MOST = 120_000  # bytes a sprite: several widgets and their pictures fit into one notebook


def pictures(decode: Decoder, z: "Tensor", name: str = "decode") -> np.ndarray:
    """decode(z) for the codes z (n, d), as float32 (n, m, H, W, C) with pixels in [0, 1]: m images a code.

    decode returns (n, H, W) or (n, 1, H, W), grey; (n, 3, H, W), colour; (n, m, H, W), m grey images; or
    (n, m, C, H, W), m images of one or three channels.

    Raises ValueError, in one sentence, for anything but pictures: another shape, NaN, pixels outside [0, 1].
    """
    import torch

    try:
        with torch.no_grad():
            x = decode(z)
    except (RuntimeError, ValueError) as error:  # a z of another length, or a model that is no function of z
        raise ValueError(
            f"{name}(z) must take z {tuple(z.shape)} and return images, as lambda z: vae.likelihood(z).mean."
            f"reshape(-1, H, W) does; it stopped with {sentence(error)}."
        ) from error
    if not isinstance(x, torch.Tensor | np.ndarray):
        raise ValueError(f"{name}(z) returned a {type(x).__name__}, not a tensor: a distribution has .mean.")
    channels = channels_of(x.shape)
    if channels is None or len(x) != len(z) or 0 in x.shape:
        side = math.isqrt(x.shape[-1]) if x.ndim == 2 else 0
        size = f"{side}, {side}" if side and side * side == x.shape[-1] else "H, W"
        raise ValueError(
            f"{name}(z) must return images ({len(z)}, H, W) for z {tuple(z.shape)}, ({len(z)}, 3, H, W) of "
            f"colour, or ({len(z)}, m, H, W) for m of them, not {tuple(x.shape)}: rows of pixels need "
            f".reshape(-1, {size})."
        )
    stored = torch.as_tensor(x).cpu().float().reshape(len(z), -1, channels, *x.shape[-2:])  # (n, m, C, H, W)
    images = stored.movedim(2, -1).numpy()  # (n, m, H, W, C)
    bad = ~np.isfinite(images).all((1, 2, 3, 4))  # (n,)
    if bad.any():
        where = ", ".join(f"{v:.2f}" for v in z[int(bad.argmax())].tolist())
        raise ValueError(f"{name}(z) returned NaN or infinity at z = ({where}): look at its weights.")
    return in_range(images, f"{name}(z) returned")


def channels_of(shape: Any) -> int | None:
    """1 for grey or 3 for colour, as `pictures` reads this shape; None for a shape that holds no images."""
    if len(shape) == 3:
        return 1
    if len(shape) == 4:
        return 3 if shape[1] == 3 else 1
    if len(shape) == 5 and shape[2] in (1, 3):
        return shape[2]
    return None


def in_range(images: np.ndarray, says: str) -> np.ndarray:
    """The images, clipped to [0, 1]; raises ValueError if that is more than rounding."""
    low, high = float(images.min()), float(images.max())
    if low < -1e-3 or high > 1 + 1e-3:  # less than a grey level is rounding
        raise ValueError(
            f"{says} pixels from {low:.2f} to {high:.2f}, outside [0, 1]: logits need a sigmoid, bytes / 255."
        )
    return images.clip(0, 1)


def image_stack(x: Any, name: str) -> np.ndarray:
    """Images (N, H, W), (N, 1, H, W), (N, 3, H, W), or (N, H·W) if square, as float32 (N, H, W, C).

    Raises ValueError for anything else.
    """
    try:
        images = as_array(x, np.float32)
    except (TypeError, RuntimeError, ValueError):  # None, words, rows of several lengths
        raise ValueError(f"{name} must hold images (N, H, W), not {type(x).__name__}.") from None
    side = math.isqrt(images.shape[1]) if images.ndim == 2 else 0
    if side and side * side == images.shape[1]:
        images = images.reshape(-1, side, side)
    coloured = images.ndim == 4 and images.shape[1] in (1, 3)
    if not (images.ndim == 3 or coloured) or 0 in images.shape:
        raise ValueError(
            f"{name} must hold images (N, H, W), (N, 3, H, W) of colour, or (N, H·W) if square, "
            f"not {images.shape}."
        )
    images = np.moveaxis(images, 1, -1) if coloured else images[..., None]  # (N, H, W, C)
    bad = ~np.isfinite(images).all((1, 2, 3))  # (N,)
    if bad.any():
        raise ValueError(f"{name} holds NaN or infinity in image {int(bad.argmax())}.")
    return in_range(images, f"{name} holds")


def sheet(images: np.ndarray) -> np.ndarray:
    """Images (rows, columns, H, W, C) in [0, 1] as one picture (rows·H, columns·W), or (…, 3), uint8."""
    rows, columns, height, width, channels = images.shape
    flat = images.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, channels)
    picture = np.round(255 * flat).astype(np.uint8)
    return picture if channels == 3 else picture[..., 0]


def data_url(images: np.ndarray) -> str:
    """The sheet as a data: address: a PNG, which is exact, or the best JPEG that MOST bytes allow."""
    picture = Image.fromarray(sheet(images))
    for kind, quality in (("png", 0), ("jpeg", 85), ("jpeg", 60), ("jpeg", 30), ("jpeg", 10), ("jpeg", 5)):
        file = io.BytesIO()
        picture.save(file, kind, quality=quality)
        if file.tell() <= MOST:
            break
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


def plane_points(points: Any, labels: Any) -> dict[str, list]:
    """points (N, 2) and labels (N,), or None, as lists, rounded to what a screen shows; raises ValueError."""
    if points is None:
        return {"points": [], "labels": []}
    z = as_array(points)  # (N, 2)
    if z.ndim != 2 or z.shape[1] != 2 or not 1 <= len(z) <= 3000 or not np.isfinite(z).all():
        raise ValueError(
            f"The plane takes 1 to 3,000 finite points (N, 2), not {z.shape}: pass some of them."
        )
    if labels is None:
        return {"points": z.round(3).tolist(), "labels": []}
    y = as_array(labels)  # (N,)
    wrong = ~np.isin(y, range(10))
    if y.shape != z.shape[:1] or wrong.any():
        found = f"the label {y[wrong][0]:g}" if y.shape == z.shape[:1] else y.shape
        raise ValueError(f"The plane needs one label, 0 to 9, for each of {len(z)} points, not {found}.")
    return {"points": z.round(3).tolist(), "labels": y.astype(int).tolist()}


def line_ends(names: Any, limits: Any) -> list[list[float]]:
    """limits, name -> (low, high), in the order of the names; raises ValueError where one is missing."""
    if not 1 <= len(names) <= 4:
        raise ValueError(f"One to four models can be compared, not {len(names)}.")
    ends = [[float(end) for end in (limits or {}).get(name, ())] for name in names]
    for name, pair in zip(names, ends, strict=True):
        if len(pair) != 2 or not np.isfinite(pair).all() or pair[0] == pair[1]:
            raise ValueError(
                f"{name!r} needs two different ends of its line: limits={{{name!r}: (low, high)}}."
            )
    return ends
