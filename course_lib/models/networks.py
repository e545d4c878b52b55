"""The networks behind every model of the course: from an image to a few numbers, and back.

Two kinds: "plain", fully connected layers; "conv", with two convolutions at the image's end. A decoder ends
in one number a pixel, not yet squashed into [0, 1]: likelihoods are computed from it without rounding. A
GAN's generator is a Decoder too.
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
    """Linear layers of these widths with an activation between them: (..., widths[0]) → (..., widths[-1]).

    Raises ValueError for an activation that is not in ACTIVATIONS, and for a layer without units.
    """
    require.widths(widths)
    act = _activation(activation)
    layers = list[nn.Module]()
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), act()]
    return nn.Sequential(*layers[:-1])


class Encoder(nn.Module):
    """Images (N, D), flattened from `shape`, and `beside` more numbers each, to (N, outputs).

    hidden: the widths of the layers between; for "conv" the channels of the two convolutions come first.
    Raises ValueError for an unknown kind of network, and for images that it cannot take.
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
        """Images x (N, D), and what stands beside them (N, beside), to (N, outputs)."""
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
        """Codes z (..., inputs) to one number a pixel: (..., D)."""
        rows = self.convolutions(self.layers(z.reshape(-1, z.shape[-1])))  # (rows, D)
        return (rows + self.bias).reshape(*z.shape[:-1], len(self.bias))  # (..., D)

    @torch.no_grad()
    def start_at(self, mean: Tensor) -> None:
        """Set the bias so that, before training, each pixel's sigmoid is about `mean` (D,), in [0, 1].

        Raises ValueError for a mean outside [0, 1], and for one of another length.
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


def _is_conv(network: str, shape: Sequence[int], hidden: Sequence[int]) -> bool:
    require.widths(hidden)
    require.shape(shape)
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


def labels_beside(rows: Tensor, y: Tensor | int, classes: int, weights: Tensor) -> Tensor:
    """Labels y (N,), or one for all, one-hot beside rows (..., N, d): (..., N, classes).

    Raises ValueError unless they are integers 0 … classes − 1, one a row. They may lie on another device.
    """
    if y is None:
        raise ValueError("This model needs labels: pass y, one integer a row, or one for all.")
    y = torch.as_tensor(y)
    batch = rows.shape[:-1]
    require.label_type(y, classes)
    if y.ndim and y.shape != batch[-1:]:
        raise ValueError(
            f"These are {len(y)} labels, for rows of shape {tuple(rows.shape)}: "
            "pass one a row, or one number for all."
        )
    # looking at them is free on the CPU; on a GPU it would stop the queue at every step
    if y.device.type == "cpu":
        require.label_range(y, classes)
    return one_hot(y.to(weights.device).long(), classes).to(weights.dtype).expand(*batch, -1)
