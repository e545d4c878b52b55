"""The networks that map images to a few numbers and back, used by all models except Autoregressive.

There are two kinds of network: "plain" has only fully connected layers, and "conv" also has two
convolutional layers at the image end of the network. A decoder returns one number per pixel and
does not apply a final sigmoid, because likelihoods are more accurate if they are computed from
logits. The generator of a GAN is also a Decoder.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from course_lib import require

ACTIVATIONS = {"relu": nn.ReLU, "silu": nn.SiLU, "tanh": nn.Tanh}


def mlp(widths: Sequence[int], activation: str = "relu") -> nn.Sequential:
    """Build linear layers with these widths, separated by activations.

    The network maps (..., widths[0]) to (..., widths[-1]). Raises ValueError for an activation that
    is not in ACTIVATIONS, and for widths that are not positive integers.
    """
    require.widths(widths)
    act = _activation(activation)
    layers = list[nn.Module]()
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), act()]
    return nn.Sequential(*layers[:-1])


class Encoder(nn.Module):
    """Map flattened images (N, D), and optional extra inputs (N, beside), to outputs (N, outputs).

    shape: the shape of an image before flattening. hidden: the widths of the hidden layers; for
    "conv", the first two entries are the channel counts of the convolutions. beside: the number of
    extra inputs per image, such as the length of a one-hot label. Raises ValueError for an unknown
    kind of network, and for a shape that the network cannot process.
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
        """Map images x (N, D) and any extra inputs `beside` (N, beside) to outputs (N, outputs)."""
        features = self.convolutions(x)  # (N, features)
        return self.layers(features if beside is None else torch.cat([features, beside], -1))


class Decoder(nn.Module):
    """Map codes to one number per pixel, with the layers of an Encoder in reverse order.

    The codes have shape (..., inputs), and the result has shape (..., D). norm: whether to use
    batch normalization before each activation; in training mode, each image then also depends on
    the other images in its batch (Ioffe & Szegedy 2015). Raises ValueError in the same cases as
    Encoder.
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
        # each pixel has its own bias, even after convolutions, so it can represent a mean image
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
            self.layers = _normalized(self.layers)
            self.convolutions = _normalized(self.convolutions)

    def forward(self, z: Tensor) -> Tensor:
        """Map codes z to one number per pixel: (..., inputs) → (..., D)."""
        rows = self.convolutions(self.layers(z.reshape(-1, z.shape[-1])))  # (rows, D)
        return (rows + self.bias).reshape(*z.shape[:-1], len(self.bias))  # (..., D)

    @torch.no_grad()
    def start_at(self, mean: Tensor) -> None:
        """Set the bias so that, before training, the sigmoid of the outputs is close to `mean`.

        mean: a tensor of shape (D,) with values in [0, 1].

        Raises ValueError if `mean` has the wrong shape or contains values outside [0, 1].
        """
        if mean.shape != self.bias.shape:
            raise ValueError(
                f"The mean image must have shape ({len(self.bias)},), "
                f"but got {tuple(mean.shape)}. Use digits.pixels().mean(0)."
            )
        low, high = (float(v) for v in mean.aminmax())
        if not (low >= -1e-3 and high <= 1 + 1e-3):  # rounding errors are clamped below
            raise ValueError(
                f"Pixel means must be in [0, 1], but these range from {low:.4g} to {high:.4g}."
            )
        # the logits of 0 and 1 are infinite
        self.bias.copy_(torch.logit(mean.clamp(1e-3, 1 - 1e-3)))


def _normalized(layers: nn.Module) -> nn.Sequential:
    """Return the layers with batch normalization inserted before each activation.

    Each unit or channel is normalized with its own mean and variance.
    """
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
        raise ValueError(f"Unknown activation {name!r}. Choose one of {', '.join(ACTIVATIONS)}.")
    return ACTIVATIONS[name]


def _is_conv(network: str, shape: Sequence[int], hidden: Sequence[int]) -> bool:
    require.widths(hidden)
    require.shape(shape)
    if network not in ("plain", "conv"):
        raise ValueError(f"network must be 'plain' or 'conv', not {network!r}.")
    if network == "conv" and len(hidden) < 2:
        raise ValueError(
            "network='conv' requires hidden=(channels, channels, widths…) with at least two "
            f"numbers, but got {tuple(hidden)}."
        )
    return network == "conv"


def _channels(shape: Sequence[int]) -> tuple[int, int, int]:
    channels, height, width = (1, *shape) if len(shape) == 2 else tuple(shape)
    if height % 4 or width % 4:
        raise ValueError(
            "network='conv' requires images whose height and width are divisible by 4, "
            f"but got {height}×{width}. Pad the images, or use network='plain'."
        )
    return channels, height, width


def labels_beside(rows: Tensor, y: Tensor | int, classes: int, weights: Tensor) -> Tensor:
    """Return one-hot labels (..., N, classes) to append to rows (..., N, d).

    y: labels (N,), or one label for all rows, on any device. Raises ValueError unless the labels
    are integers, one per row or one for all rows; labels outside 0 … classes − 1 are detected
    only on the CPU.
    """
    if y is None:
        raise ValueError(
            "This model requires labels. "
            "Pass y, either one integer per row or one integer for all rows."
        )
    y = torch.as_tensor(y)
    batch = rows.shape[:-1]
    require.label_type(y, classes)
    if y.ndim and y.shape != batch[-1:]:
        raise ValueError(
            f"Labels y of shape {tuple(y.shape)} do not match rows of shape {tuple(rows.shape)}. "
            "Pass one label per row, or one label for all rows."
        )
    # this check is cheap on the CPU; on a GPU, it would stall every step
    if y.device.type == "cpu":
        require.label_range(y, classes)
    return one_hot(y.to(weights.device).long(), classes).to(weights.dtype).expand(*batch, -1)
