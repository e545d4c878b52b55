"""Files that are whole or not there: written under a temporary name of their own, and then renamed."""

import contextlib
import glob
import os
import secrets
import stat
import time
from pathlib import Path

# No write takes an hour, so an older temporary file belongs to a process that was killed. Its age can be
# told on every machine, whereas a process id means nothing on another host or in another container.
STALE_SECONDS = 3600.0


def usable(path: str | Path) -> Path:
    """The path, with ~ replaced by the home folder. ValueError, in one sentence, where no file can be."""
    if not str(path):
        raise ValueError("The name of the file is empty: pass one, such as model.safetensors.")
    shown = str(path)[:200]
    shown = shown if shown.isprintable() else repr(shown)
    try:
        found = Path(path).expanduser()
        mode = found.stat().st_mode
    except FileNotFoundError:
        return found  # there is none yet
    except (OSError, RuntimeError, ValueError) as error:
        raise ValueError(f"{shown} cannot be a file ({reason(error)}): pass another name.") from None
    if stat.S_ISDIR(mode):
        raise ValueError(f"{shown} is a folder: pass the name of a file in it.")
    if not stat.S_ISREG(mode):
        raise ValueError(f"{shown} is a device or a pipe: pass the name of a regular file.")
    return found


def reason(error: Exception) -> str:
    """Why the system refused, in its own words, without a number or the name of a temporary file."""
    return getattr(error, "strerror", None) or str(error)


def check_writable(path: Path) -> None:
    """Make the folder of a file, and raise OSError now if the file could not be written later."""
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    temporary.open("xb").close()
    temporary.unlink()


def write_whole(path: str | Path, data: bytes, *, replace: bool = True) -> None:
    """Write a file at a `usable` path, so that no moment leaves half of it; a symbolic link stays a link.

    replace: whether it may take the place of an older file; if not, FileExistsError. Two processes can write
    to one path: each has a temporary file of its own, and a reader meets one's bytes or the other's.
    Raises OSError if the disk refuses; the older file then stays as it was.
    """
    path = Path(os.path.realpath(path))
    _clear_stale(path)
    temporary = _temporary(path)
    try:
        with temporary.open("xb") as file:  # not tempfile's mkstemp, whose files only their owner may read
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # on the disk before it takes the name
        if replace:
            os.replace(temporary, path)
        else:
            _take_free_name(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    """A name beside `path` that no other process takes; 40 characters of it keep within the system's 255."""
    return path.with_name(f".{path.name[:40]}.{secrets.token_hex(8)}.tmp")


def _take_free_name(temporary: Path, path: Path) -> None:
    """Rename, but never over a file that has come to be there; FileExistsError then."""
    try:
        os.link(temporary, path)  # unlike a rename, it fails if the name is taken
    except FileExistsError:
        raise
    except OSError:  # a file system without links, such as FAT
        if path.exists():
            raise FileExistsError(f"{path} exists.") from None
        os.replace(temporary, path)


def _clear_stale(path: Path) -> None:
    """Delete the temporary files of killed processes, and no other's: those that are old."""
    for left in path.parent.glob(f".{glob.escape(path.name[:40])}.*.tmp"):
        with contextlib.suppress(OSError):  # another process may clear it at the same time
            if time.time() - left.stat().st_mtime > STALE_SECONDS:
                left.unlink()
