"""Files written whole: two writers and a reader, kills in mid-write, links, names of any length."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from course_lib import files
from course_lib.files import check_writable, usable, write_whole

WRITER = """
import os, sys, time
sys.path.insert(0, {root!r})
from course_lib import files
real = os.fsync
def fsync(file):
    time.sleep(0.002)  # so that the two processes write at the same time
    real(file)
os.fsync = fsync
data = {letter!r} * 300_000
while True:
    files.write_whole({path!r}, data)
"""


def writer(root: Path, path: Path, letter: bytes) -> subprocess.Popen:
    code = WRITER.format(root=str(root), path=str(path), letter=letter)
    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)


def wait_for(condition, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.001)


def test_a_reader_meets_whole_files_while_two_processes_write_them(root, tmp_path):
    path = tmp_path / "data"
    writers = [writer(root, path, letter) for letter in (b"a", b"b")]
    seen = []

    def both_were_often_here() -> bool:
        if path.exists():
            seen.append(path.read_bytes())
        return min(seen.count(letter * 300_000) for letter in (b"a", b"b")) >= 20

    try:
        wait_for(both_were_often_here)
        assert set(seen) == {b"a" * 300_000, b"b" * 300_000}
        assert [process.poll() for process in writers] == [None, None]
    finally:
        for process in writers:
            process.kill()
            process.communicate()


@pytest.mark.skipif(os.name == "nt", reason="Windows has one way to end a process only")
@pytest.mark.parametrize("how", ["SIGKILL", "SIGTERM"])
def test_a_writer_killed_in_mid_write_leaves_the_file_whole(how, root, tmp_path):
    path = tmp_path / "data"
    write_whole(path, b"a" * 300_000)
    for _ in range(5):
        process = writer(root, path, b"a")
        wait_for(lambda: list(tmp_path.glob(".data.*.tmp")))
        process.send_signal(signal.Signals[how])
        process.communicate()
        assert path.read_bytes() == b"a" * 300_000
        for left in tmp_path.glob(".data.*.tmp"):
            os.utime(left, (0, 0))  # as if it were decades old
        write_whole(path, b"a" * 300_000)
        assert os.listdir(tmp_path) == ["data"]


def test_a_file_that_must_be_new_is_never_written_over_another(tmp_path, monkeypatch):
    write_whole(tmp_path / "new", b"1", replace=False)
    with pytest.raises(FileExistsError):
        write_whole(tmp_path / "new", b"2", replace=False)

    def no_links(*_):
        raise PermissionError(1, "Operation not permitted")  # what FAT says

    monkeypatch.setattr(files.os, "link", no_links)
    with pytest.raises(FileExistsError):
        write_whole(tmp_path / "new", b"3", replace=False)
    write_whole(tmp_path / "newer", b"4", replace=False)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"new": b"1", "newer": b"4"}


def test_a_symbolic_link_stays_one(tmp_path):
    (tmp_path / "scratch").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "scratch" / "data")
    for data in (b"1", b"2"):
        write_whole(tmp_path / "link", data)
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "scratch" / "data").read_bytes() == data
    assert os.listdir(tmp_path / "scratch") == ["data"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such rights")
def test_others_may_read_what_the_user_lets_them_read(tmp_path):
    before = os.umask(0o022)
    try:
        write_whole(tmp_path / "data", b"1")
    finally:
        os.umask(before)
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("name", ["n" * 255, "ü" * 127, "[a]*?", "𝒩" * 60])
def test_any_name_that_the_system_takes_can_be_written(name, tmp_path):
    path = tmp_path / name
    check_writable(path)
    assert os.listdir(tmp_path) == []
    write_whole(path, b"1")
    for left in (path.name[:40], "n"):
        (tmp_path / f".{left}.0123.tmp").write_text("half")
        os.utime(tmp_path / f".{left}.0123.tmp", (0, 0))
    write_whole(path, b"2")
    assert sorted(os.listdir(tmp_path)) == sorted([name, ".n.0123.tmp"])
    assert path.read_bytes() == b"2"


def test_a_folder_that_cannot_be_made_is_said_before_there_is_anything_to_write(tmp_path):
    (tmp_path / "plain").write_text("")
    with pytest.raises(OSError, match="plain"):
        check_writable(tmp_path / "plain" / "data")


@pytest.mark.skipif(not os.path.exists("/dev/null"), reason="no devices here")
def test_a_device_is_not_taken_for_a_file():
    with pytest.raises(
        ValueError, match=r"/dev/null is a device or a pipe. Pass the name of a regular file"
    ):
        usable("/dev/null")


def test_a_path_that_can_be_used_is_returned(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert usable("~/a/b") == tmp_path / "a" / "b"
    assert usable("a/~b") == Path("a/~b")
    (tmp_path / "there").write_text("")
    assert usable(tmp_path / "there") == tmp_path / "there"
