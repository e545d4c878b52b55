"""Readers that convert folders of images, Kaggle-style tables and map-style data sets to arrays.

Each reader returns the images as uint8 (N, H, W) or (N, 3, H, W), the labels as int64 (N,), and the
class names. Input that is likely to be misread (transparent pixels, normalized images, nested
folders) raises a ValueError that explains how to correct it.
"""

import gzip
import math
import warnings
from collections.abc import Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch.utils.data import DataLoader

Read = tuple[np.ndarray, np.ndarray, list[str]]
# The side of a square, (height, width), or None for the original size.
Size = int | tuple[int, int] | None
PICTURES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm"}


# Folders of images.


def read_folder(path: str | Path, size: Size, colour: bool, classes: Sequence[str] | None) -> Read:
    """Read a folder of images: one subfolder per class, or no subfolders and a single class."""
    root = Path(path).expanduser()
    groups = _pictures_by_class(root)
    names = _in_order(groups) if classes is None else list(classes)
    unknown = [name for name in groups if name not in names]
    if unknown:
        raise ValueError(
            f"The folder {root.name} contains a subfolder named {unknown[0]}, which is not one of "
            f"the classes {', '.join(names)}."
        )
    paths = [picture for name in names for picture in groups.get(name, [])]
    labels = [label for label, name in enumerate(names) for _ in groups.get(name, [])]
    stack = _Stack(len(paths))
    for picture in paths:
        stack.add(_open(picture, size, colour), f"{picture.parent.name}/{picture.name}")
    return stack.images, np.array(labels, np.int64), names


def _pictures_by_class(root: Path) -> dict[str, list[Path]]:
    if not root.is_dir():
        raise FileNotFoundError(f"There is no folder {root}.")
    folders = subfolders(root)
    loose = _pictures(root)
    if loose and folders:
        raise ValueError(
            f"The folder {root.name} contains both subfolders and loose images. "
            "Move the loose images, which have no class, into a subfolder."
        )
    if loose:
        return {root.resolve().name: loose}
    for folder in folders:
        if subfolders(folder):
            raise ValueError(
                f"The subfolder {folder.name} of {root.name} contains nested folders. "
                "Pass a folder that has one subfolder per class, "
                f"such as {root.name}/{folder.name}."
            )
        if not _pictures(folder):
            raise ValueError(
                f"The subfolder {folder.name} of {root.name} contains no images. "
                "Remove the subfolder."
            )
    if not folders:
        raise ValueError(
            f"The folder {root.name} contains neither images nor subfolders with images."
        )
    return {folder.name: _pictures(folder) for folder in folders}


def subfolders(folder: Path) -> list[Path]:
    """Return the sorted subfolders, except hidden ones
    and those added by archiving tools (__MACOSX).
    """
    found = [path for path in folder.iterdir() if path.is_dir()]
    return sorted(path for path in found if not path.name.startswith((".", "__")))


def _pictures(folder: Path) -> list[Path]:
    found = [path for path in folder.iterdir() if path.suffix.lower() in PICTURES]
    return sorted(path for path in found if not path.name.startswith("."))


def _in_order(names: Any) -> list[str]:
    """Sort the names, numerically if all are numbers, so that 10 comes after 9, not after 1."""
    if all(name.isdecimal() for name in names):
        return sorted(names, key=int)
    return sorted(names)


def _open(path: Path, size: Size, colour: bool) -> np.ndarray:
    name = f"{path.parent.name}/{path.name}"
    try:
        with Image.open(path) as file:
            picture = ImageOps.exif_transpose(file)  # phones store many photographs sideways
            picture.load()
    except Exception as error:  # Pillow's decoders raise a dozen exception types
        raise ValueError(
            f"{name} is truncated, damaged or not an image. Replace or remove the file."
        ) from error
    return _picture_bytes(picture, size, colour, name)


def _picture_bytes(picture: Image.Image, size: Size, colour: bool, name: str) -> np.ndarray:
    """Convert a Pillow image to uint8 of shape (H, W) or (3, H, W)."""
    if picture.mode.startswith("I;16"):
        # 65,535 is white
        picture = Image.fromarray((np.asarray(picture) / 257).round().astype(np.uint8))
    if picture.mode in ("I", "F"):  # Pillow would clip these pixels at 255
        raise ValueError(
            f"Images must have at most 16 bits per channel, but {name} has 32. "
            "Convert the image to 8 bits per channel."
        )
    if "A" in picture.getbands() or "transparency" in picture.info:
        alpha = np.asarray(picture.convert("RGBA"))[..., 3]
        if alpha.min() < 255:  # the hidden colour is often black, like the ink
            raise ValueError(
                f"Some pixels of {name} are transparent. "
                "Put the image on an opaque background first."
            )
    picture = picture.convert("RGB" if colour else "L")
    if size is not None:
        height, width = _height_and_width(size)
        picture = ImageOps.fit(picture, (width, height))
    array = np.asarray(picture)
    return array.transpose(2, 0, 1) if colour else array


def _height_and_width(size: Any) -> tuple[int, int]:
    pair = [size, size] if isinstance(size, int) else size
    is_pair = isinstance(pair, tuple | list) and len(pair) == 2
    if not is_pair or not all(_is_side(side) for side in pair):
        raise ValueError(
            f"size must be a positive integer or a pair (height, width), not {size!r}."
        )
    return pair[0], pair[1]


def _is_side(side: object) -> bool:
    return isinstance(side, int) and side > 0


class _Stack:
    """An array that is filled with images of the same size, one at a time."""

    def __init__(self, count: int) -> None:
        self.count, self.filled = count, 0
        self.images = np.empty((0,), np.uint8)
        self.first = ""

    def add(self, image: np.ndarray, name: str) -> None:
        if self.filled == 0:
            self.images = np.empty((self.count, *image.shape), np.uint8)
            self.first = name
        if image.shape != self.images.shape[1:]:
            sizes = [_by(shape) for shape in (self.images.shape[1:], image.shape)]
            raise ValueError(
                f"All images must have the same size, but {self.first} is {sizes[0]} and {name} is "
                f"{sizes[1]}. Specify a size, such as size=28."
            )
        self.images[self.filled] = image
        self.filled += 1


def _by(shape: Sequence[int]) -> str:
    return "×".join(str(side) for side in shape)


# Tables.


def read_csv(path: str | Path, shape: Sequence[int] | None, classes: Sequence[str] | None) -> Read:
    """Read a table with one image per row and the labels in the first column
    or in a column named `label`.
    """
    path = Path(path).expanduser()
    heading, table = _table(path)
    at = 0
    if heading:
        names = [name.strip().strip('"').lower() for name in heading]
        if "label" not in names:
            raise ValueError(
                f"{path.name} has no column named label. "
                "Use a file that contains labels, such as Kaggle's train.csv instead of test.csv."
            )
        at = names.index("label")
    values = table[:, at]
    pixels = np.delete(table, at, 1)
    if shape is None:
        side = math.isqrt(pixels.shape[1])
        shape = (side, side)
    if math.prod(shape) != pixels.shape[1]:
        raise ValueError(
            f"An image of size {_by(shape)} has {math.prod(shape)} pixels, "
            f"but {path.name} contains {pixels.shape[1]} pixels per image. "
            "Specify the shape of the images, such as shape=(28, 28)."
        )
    if pixels.max() > 1 and bool((pixels == pixels.round()).all()):
        pixels = pixels.astype(np.int32)  # `as_bytes` takes only floats in [0, 1]
    images = as_bytes(pixels, path.name).reshape(-1, *shape)
    if not np.array_equal(values, values.round()):
        raise ValueError(
            f"The labels in {path.name} must be whole numbers "
            "in the first column or in a column named label."
        )
    labels, names = number_labels([values.astype(np.int64)], classes)
    return images, labels[0], names


def _table(path: Path) -> tuple[list[str], np.ndarray]:
    """Return the column names (empty if there is no header row) and the table of numbers.

    The table has the shape (N, columns).
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    try:
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
            first = file.readline()
        heading = [] if _is_number(first.split(",")[0]) else first.rstrip().split(",")
        # float32 represents every whole number up to 16 million, and a row of 784 pixels takes 3 KB
        form: dict[str, Any] = {
            "delimiter": ",",
            "skiprows": int(bool(heading)),
            "ndmin": 2,
            "quotechar": '"',
        }
        with warnings.catch_warnings(action="ignore"):  # an empty table is reported below
            table = np.loadtxt(path, np.float32, **form)
    except (ValueError, OSError, EOFError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise ValueError(
            f"{path.name} is truncated, damaged or not a table of numbers ({reason})."
        ) from None
    if table.size == 0:
        raise ValueError(f"{path.name} contains no images.")
    return heading, table


def _is_number(text: str) -> bool:
    try:
        float(text.strip().strip('"'))
    except ValueError:
        return False
    return True


def number_labels(
    splits: Sequence[np.ndarray], classes: Sequence[str] | None = None
) -> tuple[list[np.ndarray], list[str]]:
    """Renumber integer labels as 0, 1, 2, …, and return the labels and the class names.

    splits: the labels of the training and test images, which are renumbered in the same way.
    classes: the names, if known: either the label values themselves or the names of the labels 0,
    1, 2, … in that order. By default, the names are the label values in ascending order.
    """
    values = np.unique(np.concatenate(splits))
    names = [str(value) for value in values.tolist()]
    if classes is None:
        at = np.arange(len(values))
    elif set(names) <= set(classes):
        at = np.array([list(classes).index(name) for name in names], np.int64)
    elif values[0] >= 0 and values[-1] < len(classes):
        at = values
    else:
        odd = values[0] if values[0] < 0 else values[-1]
        raise ValueError(
            f"The label {odd} is not one of the {len(classes)} classes {', '.join(classes)}."
        )
    numbered = [at[np.searchsorted(values, labels)] for labels in splits]
    return numbered, names if classes is None else list(classes)


# Map-style data sets, as in torch.utils.data.


def read_dataset(dataset: Any, size: Size, colour: bool | None) -> Read:
    """Read each item (image, label) of a map-style data set of Pillow images, arrays or tensors."""
    if isinstance(dataset, DataLoader):
        raise ValueError("A DataLoader cannot be indexed. Pass its .dataset instead.")
    if isinstance(dataset, torch.Tensor | np.ndarray):
        raise ValueError(
            f"Data of type {type(dataset).__name__} has no labels. "
            "Pass Digits(images, labels, source) instead."
        )
    if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
        raise ValueError(
            "The data must be a Digits object or a map-style data set of (image, label) pairs, "
            f"not {type(dataset).__name__}."
        )
    if len(dataset) == 0:
        raise ValueError("The data set contains no images.")
    stack, labels = _Stack(len(dataset)), []
    for i in range(len(dataset)):
        image, label = _image_and_label(dataset[i], i)
        if colour is None and isinstance(image, Image.Image):
            colour = len(image.getbands()) > 2 or image.mode == "P"
        stack.add(_image_bytes(image, size, colour, f"image {i}"), f"image {i}")
        labels.append(label)
    return stack.images, np.array(labels, np.int64), _class_names(dataset, labels)


def _image_and_label(item: Any, i: int) -> tuple[Any, int]:
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise ValueError(
            f"Each item must be a pair (image, label), but item {i} has type {type(item).__name__}."
        )
    image, label = item
    if isinstance(label, torch.Tensor | np.ndarray) and label.ndim == 0:
        label = label.item()
    if not isinstance(label, Integral):
        raise ValueError(f"Each label must be an integer, but the label of item {i} is {label!r}.")
    return image, int(label)


def _image_bytes(image: Any, size: Size, colour: bool | None, name: str) -> np.ndarray:
    if isinstance(image, Image.Image):
        return _picture_bytes(image, size, bool(colour), name)
    if isinstance(image, torch.Tensor):
        image = image.detach().cpu()
        image = (image.float() if image.is_floating_point() else image).numpy()
    array = np.asarray(image)
    if array.ndim == 3 and array.shape[0] not in (1, 3) and array.shape[-1] in (1, 3, 4):
        raise ValueError(
            f"The shape of {name} is {array.shape}, with the channels last, but images must have "
            "shape (H, W), (1, H, W) or (3, H, W). Move the channels to the front, for example "
            "with permute(2, 0, 1)."
        )
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[0] not in (1, 3)):
        raise ValueError(
            f"The shape of {name} is {array.shape}, "
            "but images must have shape (H, W), (1, H, W) or (3, H, W)."
        )
    array = as_bytes(array, name)
    array = array[0] if array.shape[0] == 1 and array.ndim == 3 else array
    if size is None and colour in (None, array.ndim == 3):
        return array
    picture = Image.fromarray(array.transpose(1, 2, 0) if array.ndim == 3 else array)
    return _picture_bytes(picture, size, array.ndim == 3 if colour is None else colour, name)


def as_bytes(array: np.ndarray, name: str) -> np.ndarray:
    """Convert pixels to uint8.

    Integers from 0 to 255 are kept; Booleans and floats in [0, 1] are multiplied by 255. Raises
    ValueError for any other numbers.
    """
    if array.dtype == np.uint8 or array.size == 0:
        return array.astype(np.uint8, copy=False)
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    low, high = array.min(), array.max()
    if array.dtype.kind in "iu" and low >= 0 and high <= 255:
        return array.astype(np.uint8)
    if array.dtype.kind == "f" and low >= 0 and high <= 1:
        return np.round(array * 255).astype(np.uint8)
    raise ValueError(
        f"The pixels of {name} range from {low:.4g} to {high:.4g}, "
        "but they must be integers from 0 to 255 or floats in [0, 1]. Remove any normalization."
    )


def _class_names(dataset: Any, labels: list[int]) -> list[str]:
    """Return a data set's class names, or the label numbers if it has none.

    A Subset has the class names of the data set from which it was taken.
    """
    whole = dataset
    while not hasattr(whole, "classes") and hasattr(whole, "dataset"):
        whole = whole.dataset
    names = getattr(whole, "classes", None)
    if isinstance(names, list | tuple) and len(names) > max(labels):
        return [str(name) for name in names]
    return [str(label) for label in range(max(labels) + 1)]
