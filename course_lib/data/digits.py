"""Labelled images stored in memory as bytes, and functions that binarize images."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from course_lib import require
from course_lib.data.readers import Size, read_csv, read_dataset, read_folder

# None: torch's default device, the CPU unless you have changed it.
Device = str | torch.device | None


class Digits:
    """Labelled images stored as bytes on one device.

    MNIST takes up 47 MB in this form and needs neither a data loader nor worker processes.

    images: uint8 of shape (N, 3, H, W) for colour images, and (N, H, W) or (N, 1, H, W) for
    greyscale images; the latter are stored with shape (N, H, W). labels: an integer tensor of shape
    (N,), with the classes numbered from 0. source: a description of where the images came from.
    classes: the names of the labels; by default, "0", "1" and so on. name: the name of the data
    set, such as "MNIST". Raises ValueError if the arguments are invalid or inconsistent.
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
        """Read images from a folder that contains one subfolder per class.

        size: the side of a square, or (height, width), to which each image is scaled and
        centre-cropped; None keeps the original size, which must be the same for all images.
        colour: True for RGB, False for greyscale. classes: the names of the subfolders in the order
        of their labels; by default, the names are sorted. For test images, pass the classes of the
        training images. Raises FileNotFoundError if the folder does not exist, and ValueError if
        its images cannot be used.
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
        """Read a table, such as Kaggle's train.csv, with an image and its label in each row.

        The pixels are either integers from 0 to 255 or numbers in [0, 1]. The file may be plain
        text or gzipped (.gz), with or without a header row. shape: the shape of an image, square by
        default. classes: the names of the labels; by default, the names are the label values, and
        the labels are renumbered from 0 in the order of these values. Raises FileNotFoundError if
        the file does not exist, and ValueError if its contents cannot be used.
        """
        images, labels, names = read_csv(path, shape, classes)
        return cls._of(images, labels, Path(path).name, names, device)

    @classmethod
    def from_dataset(
        cls, dataset: Any, size: Size = None, colour: bool | None = None, device: Device = None
    ) -> "Digits":
        """Read every item of a map-style data set, such as torchvision's ImageFolder or MNIST.

        Each item must be a pair (image, label). The image is a Pillow image, or an array or tensor
        of shape (H, W), (1, H, W) or (3, H, W) that contains bytes or numbers in [0, 1]; the label
        is an integer. size: as in `from_folder`. colour: True for RGB, False for greyscale, None to
        follow the mode of the first image. Raises ValueError if an item cannot be used.
        """
        images, labels, names = read_dataset(dataset, size, colour)
        return cls._of(images, labels, type(dataset).__name__, names, device)

    @classmethod
    def _of(
        cls,
        images: np.ndarray,
        labels: np.ndarray,
        source: str,
        classes: Sequence[str],
        device: Device,
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
        """The shape of one image: (H, W), or (3, H, W) for colour images."""
        return tuple(self.images.shape[1:])

    @property
    def n_pixels(self) -> int:
        """The number of values in one image, with each colour channel counted separately."""
        return math.prod(self.shape)

    @property
    def n_classes(self) -> int:
        """The number of named classes."""
        return len(self.classes)

    def pixels(
        self,
        idx: torch.Tensor | slice | list[int] | int | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> torch.Tensor:
        """Return the images at `idx` (by default, all images) as rows of pixels in [0, 1].

        The result has the shape (n, D).
        """
        chosen = self.images if idx is None else self.images[idx]
        return chosen.reshape(-1, self.n_pixels).to(dtype).div_(255)  # (n, D)

    def to(self, device: Device) -> "Digits":
        """Return the same data set on the given device."""
        return Digits(self.images.to(device), self.labels, self.source, self.classes, self.name)

    def subset(self, idx: torch.Tensor | slice | list[int]) -> "Digits":
        """Return the images at `idx` as a data set with the same name, source and classes."""
        return Digits(self.images[idx], self.labels[idx], self.source, self.classes, self.name)


def as_digits(data: Any) -> Digits:
    """Return `Digits` unchanged; convert any other map-style data set with `Digits.from_dataset`.

    Raises ValueError if `data` is not a map-style data set or if one of its items cannot be used.
    """
    return data if isinstance(data, Digits) else Digits.from_dataset(data)


def _check_images(images: torch.Tensor) -> None:
    shape = tuple(images.shape)
    if images.dtype != torch.uint8:
        raise ValueError(
            f"Images must have dtype uint8, but got {images.dtype} of shape {shape}. "
            f"{_to_bytes(images)}."
        )
    if len(shape) == 4 and shape[1] not in (1, 3):
        hint = ""
        if shape[-1] in (1, 3):
            hint = ". The channels are last, so pass images.permute(0, 3, 1, 2)"
        elif shape[-1] == 4:
            hint = (
                ". The images are RGBA with the channels last, "
                "so pass images[..., :3].permute(0, 3, 1, 2)"
            )
        elif shape[1] == 4:
            hint = ". The images are RGBA, so pass images[:, :3]"
        raise ValueError(
            "Images must have shape (N, H, W), (N, 1, H, W) or (N, 3, H, W), "
            f"but got {shape}{hint}."
        )
    if len(shape) not in (3, 4) or 0 in shape[1:]:
        raise ValueError(
            "Images must have shape (N, H, W) or (N, 3, H, W) with at least one pixel, "
            f"but got {shape}."
        )
    if len(images) and int(images.max()) == 1:
        raise ValueError(
            "All bytes of the images are 0 or 1, so the images would be nearly black. "
            "Pass 255 * images."
        )


def _to_bytes(images: torch.Tensor) -> str:
    if images.dtype == torch.bool:
        return "Pass 255 * images.byte()"
    if images.is_floating_point():
        return "If the pixels are in [0, 1], pass (255 * images).round().byte()"
    return "If the pixels are between 0 and 255, pass images.byte()"


def _check_labels(labels: torch.Tensor, count: int, classes: int) -> None:
    shape = tuple(labels.shape)
    if shape != (count,):
        hint = ". Pass labels.argmax(1)" if len(shape) == 2 and shape[1] > 1 else ""
        raise ValueError(
            f"Labels must have shape ({count},), one label per image, but got {shape}{hint}."
        )
    if labels.is_floating_point() or labels.is_complex():  # .long() would truncate 0.9 to 0
        raise ValueError(f"Labels must be integers, not {labels.dtype}.")
    if not count:
        return
    low, high = int(labels.min()), int(labels.max())
    if low < 0:
        raise ValueError(f"Labels must not be negative, but the smallest label is {low}.")
    if classes and high >= classes:
        raise ValueError(
            f"Labels must be less than the number of classes, {classes}, "
            f"but the largest label is {high}."
        )
    # with ten images per class, a class is missing by chance in only one of e¹⁰ = 22,000 data sets
    many = count >= 10 * high > 10
    if not classes and many and low == 1 and len(labels.unique()) == high:
        raise ValueError(
            f"Labels must start at 0, but the labels run from 1 to {high}. Pass labels - 1, or, "
            "if class 0 exists but has no images, set classes to the names of all classes."
        )


def binarize(images: torch.Tensor) -> torch.Tensor:
    """Set each pixel to 1 with probability pixel/255, and to 0 otherwise.

    The uint8 images become float32 images of the same shape. This "dynamic binarization" is used to
    compare the likelihoods of MNIST models, because grey pixels are not outcomes of a Bernoulli
    distribution. The function uses torch's global generator on the device of the images, with 16
    random bits per pixel, so each probability is accurate to 2e-5. Raises ValueError for images
    that are not uint8.
    Source: Salakhutdinov & Murray 2008; Burda et al. 2016, section 5.
    """
    _check_bytes(images)
    # each random number serves four pixels, because generating them takes most of the time
    numbers = torch.empty(-(-images.numel() // 4), dtype=torch.int64, device=images.device)
    bits = numbers.random_(-(2**63), None).view(torch.int16)[: images.numel()].view(images.shape)
    # 255·257 − 2¹⁵ = 2¹⁵ − 1, the largest int16
    bound = images.to(torch.int16).mul_(257).sub_(2**15)
    return torch.lt(bits, bound, out=torch.empty_like(bound, dtype=torch.float32))


def fixed_binarization(images: torch.Tensor, seed: int = 0) -> torch.Tensor:
    """Binarize images in the same way on every machine.

    The images are uint8 of any shape; the result is float32 of the same shape, with values 0 and 1.
    All test results are computed on images binarized in this way. NumPy guarantees that RandomState
    produces the same numbers in every version.
    """
    _check_bytes(images)
    # from 0 to 254, so that a pixel of 0 never becomes 1, and a pixel of 255 always does
    bound = np.random.RandomState(seed).randint(0, 255, tuple(images.shape), dtype=np.uint8)
    return (torch.from_numpy(bound).to(images.device) < images).float()


def _check_bytes(images: torch.Tensor) -> None:
    require.tensors(images)
    if images.dtype != torch.uint8:
        raise ValueError(
            "Images to binarize must have dtype uint8, as in Digits.images, "
            f"but got {images.dtype}."
        )
