"""The networks behind every model of the course: from an image to a few numbers, and back.

Two kinds: "plain", fully connected layers; "conv", with two convolutions at the image's end. A decoder ends
in one number a pixel, not yet squashed into [0, 1]: likelihoods are computed from it without rounding. A
GAN's generator is a Decoder too.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from numbers import Integral

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from course_lib.data.digits import check_tensors

ACTIVATIONS = {"relu": nn.ReLU, "silu": nn.SiLU, "tanh": nn.Tanh}


def mlp(widths: Sequence[int], activation: str = "relu") -> nn.Sequential:
    """Linear layers of these widths with an activation between them: (..., widths[0]) → (..., widths[-1]).

    Raises ValueError for an activation that is not in ACTIVATIONS, and for a layer without units.
    """
    _check_widths(widths)
    act = _activation(activation)
    layers = list[nn.Module]()
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), act()]
    return nn.Sequential(*layers[:-1])


class Encoder(nn.Module):
    """Images (N, D), flattened from `shape`, and `beside` more numbers each, to (N, outputs).

    hidden: the widths of the layers between; for "conv" the channels of the two convolutions come first.
    Raises ValueError for a kind of network that there is not, and for images that it cannot take.
    """

    def __init__(
        self,
        shape: Sequence[int],
        outputs: int,
        hidden: Sequence[int] = (400,),
        activation: str = "relu",
        network: str = "plain",
        beside: int = 0,
    ) -> None:
        super().__init__()
        self.convolutions: nn.Module = nn.Identity()
        conv = _is_conv(network, shape, hidden)
        features = math.prod(shape)
        if conv:
            c, h, w = _channels(shape)
            first, second, *hidden = hidden
            act = _activation(activation)
            self.convolutions = nn.Sequential(
                nn.Unflatten(1, (c, h, w)),
                nn.Conv2d(c, first, 4, stride=2, padding=1),  # (N, first, H/2, W/2)
                act(),
                nn.Conv2d(first, second, 4, stride=2, padding=1),  # (N, second, H/4, W/4)
                act(),
                nn.Flatten(),
            )
            features = second * h * w // 16
        self.layers = mlp([features + beside, *hidden, outputs], activation)

    def forward(self, x: Tensor, beside: Tensor | None = None) -> Tensor:
        features = self.convolutions(x)  # (N, features)
        return self.layers(features if beside is None else torch.cat([features, beside], -1))


class Decoder(nn.Module):
    """Codes (..., inputs) to one number a pixel (..., D): an Encoder of the same arguments, turned round.

    norm: batch normalization before each activation; in training mode an image then hears a little from the
    others of its batch (Ioffe & Szegedy 2015). Raises ValueError as Encoder does.
    """

    def __init__(
        self,
        inputs: int,
        shape: Sequence[int],
        hidden: Sequence[int] = (400,),
        activation: str = "relu",
        network: str = "plain",
        norm: bool = False,
    ) -> None:
        super().__init__()
        self.convolutions: nn.Module = nn.Identity()
        conv = _is_conv(network, shape, hidden)
        features = math.prod(shape)
        # every pixel has a bias of its own, also behind convolutions: an image's mean can be put there
        self.bias = nn.Parameter(torch.zeros(features))
        if conv:
            c, h, w = _channels(shape)
            first, second, *hidden = hidden
            act = _activation(activation)
            self.convolutions = nn.Sequential(
                nn.Unflatten(1, (second, h // 4, w // 4)),
                act(),
                nn.ConvTranspose2d(second, first, 4, stride=2, padding=1),  # (N, first, H/2, W/2)
                act(),
                nn.ConvTranspose2d(first, c, 4, stride=2, padding=1, bias=False),  # (N, C, H, W)
                nn.Flatten(),
            )
            features = second * h * w // 16
        self.layers = mlp([inputs, *reversed(hidden), features], activation)
        if norm:
            self.layers, self.convolutions = _normalized(self.layers), _normalized(self.convolutions)

    def forward(self, z: Tensor) -> Tensor:
        rows = self.convolutions(self.layers(z.reshape(-1, z.shape[-1])))  # (rows, D)
        return (rows + self.bias).reshape(*z.shape[:-1], len(self.bias))  # (..., D)

    @torch.no_grad()
    def start_at(self, mean: Tensor) -> None:
        """Set the bias so that before any training each pixel is about `mean` (D,) in [0, 1], squashed.

        Raises ValueError for a mean outside, and for one of another length.
        """
        if mean.shape != self.bias.shape:
            raise ValueError(
                f"The mean image is a row of {len(self.bias)} pixels, not {tuple(mean.shape)}: "
                "use digits.pixels().mean(0)."
            )
        low, high = (float(v) for v in mean.aminmax())
        if not (low >= -1e-3 and high <= 1 + 1e-3):  # what rounding adds is clamped
            raise ValueError(f"Pixels' means lie in [0, 1]; these reach from {low:.4g} to {high:.4g}.")
        self.bias.copy_(torch.logit(mean.clamp(1e-3, 1 - 1e-3)))  # a pixel that is never inked has no logit


def _normalized(layers: nn.Module) -> nn.Sequential:
    """These layers with a batch norm before each activation, one mean and variance a unit or channel."""
    found, norm = list[nn.Module](), nn.Module()
    for layer in layers.children():
        if isinstance(layer, nn.Linear):
            norm = nn.BatchNorm1d(layer.out_features)
        elif isinstance(layer, nn.ConvTranspose2d):
            norm = nn.BatchNorm2d(layer.out_channels)
        elif isinstance(layer, nn.Unflatten):
            norm = nn.BatchNorm2d(layer.unflattened_size[0])
        elif isinstance(layer, tuple(ACTIVATIONS.values())):
            found.append(norm)
        found.append(layer)
    return nn.Sequential(*found)


def _activation(name: str) -> type[nn.Module]:
    if name not in ACTIVATIONS:
        raise ValueError(f"There is no activation {name!r} here: take one of {', '.join(ACTIVATIONS)}.")
    return ACTIVATIONS[name]


def is_count(value: object, least: int = 1) -> bool:
    """Whether value is a whole number of at least `least`; True and False are no numbers here."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least


def _check_widths(widths: Sequence[int]) -> None:
    if not isinstance(widths, Iterable):
        raise ValueError(f"The hidden layers are a row, one number each: write ({widths},), not {widths}.")
    if not all(is_count(width) for width in widths):
        raise ValueError(f"Each layer has a whole number of units or channels, above 0, not {list(widths)}.")


def check_shape(shape: Sequence[int]) -> None:
    """Raise ValueError unless shape is that of an image: (H, W) or (C, H, W), whole numbers above 0."""
    if not isinstance(shape, Iterable):
        raise ValueError(f"The shape of an image is (H, W) or (C, H, W), not {shape!r}.")
    sides = tuple(shape)
    if len(sides) not in (2, 3):
        raise ValueError(f"The shape of an image is (H, W) or (C, H, W), not {sides}.")
    if not all(is_count(side) for side in sides):
        raise ValueError(
            f"The sides of an image are whole numbers above 0, as in shape=(28, 28), not {sides}."
        )


def _is_conv(network: str, shape: Sequence[int], hidden: Sequence[int]) -> bool:
    _check_widths(hidden)
    check_shape(shape)
    if network not in ("plain", "conv"):
        raise ValueError(f"A network is 'plain' or 'conv', not {network!r}.")
    if network == "conv" and len(hidden) < 2:
        raise ValueError(f"A conv network needs hidden=(channels, channels, widths…), not {tuple(hidden)}.")
    return network == "conv"


def _channels(shape: Sequence[int]) -> tuple[int, int, int]:
    channels, height, width = (1, *shape) if len(shape) == 2 else tuple(shape)
    if height % 4 or width % 4:
        raise ValueError(
            f"The conv network halves an image twice, and {height}×{width} cannot be divided by 4: "
            "pad the images, or take network='plain'."
        )
    return channels, height, width


def image_shape(images: Tensor, shape: Sequence[int] | None = None) -> tuple[int, int, int]:
    """(C, H, W) of images (N, H, W), (N, C, H, W) or flattened (N, D).

    Flattened images are taken as square, grey or RGB, unless `shape`, (H, W) or (C, H, W), says otherwise.
    Raises ValueError for anything else, and for a `shape` that the images do not have.
    """
    found = tuple(images.shape[1:])
    if shape is not None:
        check_shape(shape)
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
            f"not {tuple(images.shape)}: a single image is image[None]."
        )
    return (1, *found) if len(found) == 2 else found  # type: ignore[return-value]


def _square(pixels: int) -> tuple[int, int, int]:
    # s² and 3·s² are never the same number, so a row of pixels says which of the two it is
    for channels in (1, 3):
        side = math.isqrt(pixels // channels)
        if side and channels * side * side == pixels:
            return channels, side, side
    raise ValueError(
        f"{pixels} pixels are no square image, grey or RGB: pass shape=(H, W) or (C, H, W), "
        "or images (N, H, W)."
    )


def check_images(x: Tensor, pixels: int, weights: Tensor | None = None) -> None:
    """Raise ValueError unless x is (N, pixels), N > 0, floating point and in [0, 1].

    weights: some of the model's, whose dtype and device x must have. The pixels' range is looked at on the
    CPU always, on a GPU in the first batch that a model gets.
    """
    check_tensors(x)
    if x.ndim != 2 or x.shape[1] != pixels:
        raise ValueError(
            f"This model takes images as rows of {pixels} pixels, (N, {pixels}), not {tuple(x.shape)}: "
            f"use digits.pixels() or images.flatten(1){' / 255' if x.dtype == torch.uint8 else ''}."
        )
    if len(x) == 0:
        raise ValueError("There is no image in this batch: pass at least one.")
    if not x.is_floating_point():
        raise ValueError(f"Pixels are numbers in [0, 1], not {x.dtype}: use digits.pixels() or binarize().")
    if weights is not None:
        check_like("images", x, weights)
    if _may_look(x, weights):
        low, high = (float(v) for v in x.detach().aminmax())
        if not (low >= 0 and high <= 1):  # so written, NaN is caught as well
            raise ValueError(f"Pixels lie in [0, 1]; these reach from {low:.8g} to {high:.8g}.")


def _may_look(x: Tensor, weights: Tensor | None) -> bool:
    """Whether the pixels' range is to be looked at: compiled code would break in two there."""
    kind = x.device.type
    if torch.compiler.is_compiling() or kind not in ("cpu", "cuda", "mps"):
        return False
    if kind == "cpu":
        return True
    # a GPU's answer has to be waited for, so there it is asked for once a model, and not in a CUDA graph
    recording = kind == "cuda" and torch.cuda.is_current_stream_capturing()
    if weights is None or recording or getattr(weights, "has_seen_images", False):
        return False
    weights.has_seen_images = True  # type: ignore[attr-defined]
    return True


def check_like(what: str, values: Tensor, weights: Tensor) -> None:
    """Raise ValueError unless the values have the weights' device and, but under autocast, their dtype."""
    if values.device != weights.device:
        raise ValueError(
            f"The {what} are on {values.device} and the model is on {weights.device}: "
            f"use {what}.to({str(weights.device)!r})."
        )
    if values.dtype == weights.dtype:
        return
    # autocast converts between the shorter kinds; float64 it leaves as it is
    short = torch.float64 not in (values.dtype, weights.dtype) and values.is_floating_point()
    if not (short and torch.is_autocast_enabled(values.device.type)):
        raise ValueError(
            f"The {what} are {values.dtype} and the model's weights {weights.dtype}: "
            f"use {what}.to({weights.dtype})."
        )


def check_codes(z: Tensor, numbers: int, weights: Tensor) -> None:
    """Raise ValueError unless z is (..., numbers), with the weights' dtype and device."""
    check_tensors(z)
    if z.ndim == 0 or z.shape[-1] != numbers:
        raise ValueError(f"A code z has {numbers} numbers here, (..., {numbers}), not {tuple(z.shape)}.")
    check_like("codes", z, weights)


def check_number_of_images(n: int) -> None:
    """Raise ValueError unless n is a whole number, 0 or more."""
    if not is_count(n, 0):
        raise ValueError(f"The number of images is a whole number, 0 or more, not {n!r}.")


def check_labels(y: Tensor, classes: int) -> None:
    """Raise ValueError unless y are labels (N,): integers in 0 … classes − 1."""
    check_tensors(y)
    _check_label_type(y, classes)
    if y.ndim != 1:
        raise ValueError(f"Labels are one integer a row, (N,), not {tuple(y.shape)}.")
    _check_label_range(y, classes)


def _check_label_type(y: Tensor, classes: int) -> None:
    if y.is_floating_point() or y.is_complex() or y.ndim > 1:
        hint = ": of one-hot rows take .argmax(1)" if y.shape[1:] == (classes,) else ""
        raise ValueError(f"Labels are integers, (N,) or one for all, not {y.dtype} {tuple(y.shape)}{hint}.")


def _check_label_range(y: Tensor, classes: int) -> None:
    if y.numel() and not 0 <= int(y.min()) <= int(y.max()) < classes:
        raise ValueError(f"Labels lie in 0 … {classes - 1}; these reach from {y.min()} to {y.max()}.")


def labels_beside(rows: Tensor, y: Tensor | int, classes: int, weights: Tensor) -> Tensor:
    """Labels y (N,), or one for all, one-hot beside rows (..., N, d): (..., N, classes).

    Raises ValueError unless they are integers 0 … classes − 1, one a row. They may lie on another device.
    """
    if y is None:
        raise ValueError("This model needs labels: pass y, one integer a row, or one for all.")
    y = torch.as_tensor(y)
    batch = rows.shape[:-1]
    _check_label_type(y, classes)
    if y.ndim and y.shape != batch[-1:]:
        raise ValueError(
            f"These are {len(y)} labels, for rows of shape {tuple(rows.shape)}: "
            "pass one a row, or one number for all."
        )
    # looking at them is free on the CPU; on a GPU it would stop the queue at every step
    if y.device.type == "cpu":
        _check_label_range(y, classes)
    return one_hot(y.to(weights.device).long(), classes).to(weights.dtype).expand(*batch, -1)
