"""Images with labels, in memory as bytes, and the ways to make them black and white."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from course_lib import require
from course_lib.data.readers import Size, read_csv, read_dataset, read_folder

Device = str | torch.device | None  # None: torch's default, the CPU unless you changed it


class Digits:
    """Images as bytes on one device, with labels: MNIST takes 47 MB, and needs no loader and no workers.

    images: uint8, grey (N, H, W) or (N, 1, H, W), which is kept as (N, H, W), or colour (N, 3, H, W).
    labels: integers (N,), counted from 0. source: where they came from, in words. classes: the name of each
    label, "0", "1", … when not given. name: that of the data set, such as "MNIST".
    Raises ValueError, in one sentence, when these do not fit together.
    """

    def __init__(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        source: str,
        classes: Sequence[str] = (),
        name: str = "",
    ) -> None:
        require.tensors(images, labels)
        _check_images(images)
        _check_labels(labels, len(images), len(classes))
        self.images = images[:, 0] if images.ndim == 4 and images.shape[1] == 1 else images
        self.labels = labels.to(images.device, torch.int64)
        self.source = source
        self.name = name
        largest = int(self.labels.max()) if len(images) else -1
        self.classes = tuple(classes) or tuple(str(label) for label in range(largest + 1))

    @classmethod
    def from_folder(
        cls,
        path: str | Path,
        size: Size = None,
        colour: bool = False,
        classes: Sequence[str] | None = None,
        device: Device = None,
    ) -> "Digits":
        """The images of a folder, whose subfolders are the classes.

        size: the height and width (one number, or both) to which each image is scaled; what does not fit the
        proportions is cut off, equally on both sides; None: as they are. colour: RGB, else grey.
        classes: the subfolders in the order of their labels (sorted when not given): pass those of the
        training images for the test images. Raises ValueError or FileNotFoundError, in one sentence.
        """
        images, labels, names = read_folder(path, size, colour, classes)
        return cls._of(images, labels, f"the folder {Path(path).name}", names, device)

    @classmethod
    def from_csv(
        cls,
        path: str | Path,
        shape: Sequence[int] | None = None,
        classes: Sequence[str] | None = None,
        device: Device = None,
    ) -> "Digits":
        """A table with a row an image: its label, then its pixels, 0 … 255, as Kaggle's train.csv has it.

        Plain or .gz, with or without a heading. shape: of an image, square when not given. classes: the names
        of the labels; when not given they are the labels themselves, numbered from 0 in their order.
        Raises ValueError or FileNotFoundError, in one sentence.
        """
        images, labels, names = read_csv(path, shape, classes)
        return cls._of(images, labels, Path(path).name, names, device)

    @classmethod
    def from_dataset(
        cls, dataset: Any, size: Size = None, colour: bool | None = None, device: Device = None
    ) -> "Digits":
        """All of a map-style data set, such as torchvision's ImageFolder(root) or MNIST(root), read once.

        Its items are pairs of an image (Pillow's, or an array or tensor (H, W), (1, H, W) or (3, H, W), bytes
        or in [0, 1]) and a whole number. size: as in `from_folder`. colour: True for RGB, False for grey,
        None: as the first image is. Raises ValueError, in one sentence.
        """
        images, labels, names = read_dataset(dataset, size, colour)
        return cls._of(images, labels, type(dataset).__name__, names, device)

    @classmethod
    def _of(
        cls, images: np.ndarray, labels: np.ndarray, source: str, classes: Sequence[str], device: Device
    ) -> "Digits":
        tensors = torch.as_tensor(images, device=device), torch.as_tensor(labels, device=device)
        return cls(*tensors, source, classes, name=source)

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        size = "×".join(str(side) for side in self.shape)
        return f"Digits({len(self):,} images of {size} on {self.images.device}, from {self.source})"

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one image: (H, W), or (3, H, W) in colour."""
        return tuple(self.images.shape[1:])

    @property
    def n_pixels(self) -> int:
        """How many numbers an image has."""
        return math.prod(self.shape)

    @property
    def n_classes(self) -> int:
        """How many classes there are names for."""
        return len(self.classes)

    def pixels(
        self, idx: torch.Tensor | slice | list[int] | int | None = None, dtype: torch.dtype = torch.float32
    ) -> torch.Tensor:
        """Pixels in [0, 1], one image a row, of the images `idx` (all when None): (n, D), of `dtype`."""
        chosen = self.images if idx is None else self.images[idx]
        return chosen.reshape(-1, self.n_pixels).to(dtype).div_(255)  # (n, D)

    def to(self, device: Device) -> "Digits":
        """The same images on another device."""
        return Digits(self.images.to(device), self.labels, self.source, self.classes, self.name)

    def subset(self, idx: torch.Tensor | slice | list[int]) -> "Digits":
        """The images `idx`, of the same name and with the same classes."""
        return Digits(self.images[idx], self.labels[idx], self.source, self.classes, self.name)


def as_digits(data: Any) -> Digits:
    """Digits as they are; any other map-style data set by `Digits.from_dataset`.

    Raises ValueError, in one sentence, for what is neither.
    """
    return data if isinstance(data, Digits) else Digits.from_dataset(data)


def _check_images(images: torch.Tensor) -> None:
    shape = tuple(images.shape)
    if images.dtype != torch.uint8:
        raise ValueError(f"Images must be uint8 bytes, not {images.dtype} {shape}: {_to_bytes(images)}.")
    if len(shape) == 4 and shape[1] not in (1, 3):
        hint = ""
        if shape[-1] in (1, 3):
            hint = ": their channels are last, so pass images.permute(0, 3, 1, 2)"
        elif shape[-1] == 4:
            hint = ": they are RGBA with the channels last, so pass images[..., :3].permute(0, 3, 1, 2)"
        elif shape[1] == 4:
            hint = ": they are RGBA, so pass images[:, :3]"
        raise ValueError(f"Images are (N, H, W), (N, 1, H, W) or (N, 3, H, W), not {shape}{hint}.")
    if len(shape) not in (3, 4) or 0 in shape[1:]:
        raise ValueError(f"Images must be uint8 of shape (N, H, W) or (N, 3, H, W), not {shape}.")
    if len(images) and int(images.max()) == 1:
        raise ValueError("These bytes are all 0 or 1, which is nearly black: pass 255 * images.")


def _to_bytes(images: torch.Tensor) -> str:
    if images.dtype == torch.bool:
        return "pass 255 * images.byte()"
    if images.is_floating_point():
        return "if they lie in [0, 1], pass (255 * images).round().byte()"
    return "if they lie in 0 to 255, pass images.byte()"


def _check_labels(labels: torch.Tensor, count: int, classes: int) -> None:
    shape = tuple(labels.shape)
    if shape != (count,):
        hint = ", so pass labels.argmax(1)" if len(shape) == 2 and shape[1] > 1 else ""
        raise ValueError(f"{count:,} images need {count:,} labels, not labels of shape {shape}{hint}.")
    if labels.is_floating_point() or labels.is_complex():  # .long() would cut 0.9 down to 0
        raise ValueError(f"Labels must be integers, not {labels.dtype}.")
    if not count:
        return
    low, high = int(labels.min()), int(labels.max())
    if low < 0:
        raise ValueError(f"Labels count from 0, and the smallest of these is {low}.")
    if classes and high >= classes:
        raise ValueError(f"{classes} classes have the labels 0 to {classes - 1}, and these reach to {high}.")
    # among ten images a class, by chance, a class is missing once in e¹⁰ = 22,000 sets
    many = count >= 10 * high > 10
    if not classes and many and low == 1 and len(labels.unique()) == high:
        raise ValueError(
            f"Labels count from 0, and these are 1 to {high}: pass labels - 1, or all names as classes=…, "
            "if only class 0 is missing."
        )


def binarize(images: torch.Tensor) -> torch.Tensor:
    """Each pixel drawn anew, 1 with probability pixel/255, else 0: uint8 (...) → float32 (...).

    The "dynamic binarization" under which the likelihoods of MNIST models are compared: grey pixels are not
    outcomes of a Bernoulli. Draws from torch's global generator of the images' device, 16 bits a pixel, so a
    probability is right to 2e-5. Raises ValueError for images that are not uint8.
    Source: Salakhutdinov & Murray 2008; Burda et al. 2016, section 5.
    """
    _check_bytes(images)
    # four pixels from each random number: the generator is what binarizing waits for
    numbers = torch.empty(-(-images.numel() // 4), dtype=torch.int64, device=images.device)
    bits = numbers.random_(-(2**63), None).view(torch.int16)[: images.numel()].view(images.shape)
    bound = images.to(torch.int16).mul_(257).sub_(2**15)  # 255·257 − 2¹⁵ wraps to 2¹⁵ − 1, the largest
    return torch.lt(bits, bound, out=torch.empty_like(bound, dtype=torch.float32))


def fixed_binarization(images: torch.Tensor, seed: int = 0) -> torch.Tensor:
    """One binarization for good, the same on every machine and version: uint8 (...) → float32 (...) of 0, 1.

    Test figures are computed on it. numpy promises that RandomState's numbers never change.
    """
    _check_bytes(images)
    bound = np.random.RandomState(seed).randint(0, 255, tuple(images.shape), dtype=np.uint8)  # 0 … 254
    return (torch.from_numpy(bound).to(images.device) < images).float()


def _check_bytes(images: torch.Tensor) -> None:
    require.tensors(images)
    if images.dtype != torch.uint8:
        raise ValueError(f"Binarizing takes uint8 images, as Digits.images are, not {images.dtype}.")
