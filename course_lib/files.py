"""Write files atomically: each file is written under a temporary name and then renamed."""

import contextlib
import glob
import os
import secrets
import stat
import time
from pathlib import Path

# No write takes an hour, so a temporary file older than that was left behind by a killed process.
# A file's age is used rather than a process ID, which means nothing on another host or in
# another container.
STALE_SECONDS = 3600.0


def usable(path: str | Path) -> Path:
    """Return `path` with ~ expanded, or raise ValueError if `path` cannot be a regular file."""
    if not str(path):
        raise ValueError("The file name is empty. Provide a name, such as model.safetensors.")
    shown = str(path)[:200]
    shown = shown if shown.isprintable() else repr(shown)
    try:
        found = Path(path).expanduser()
        mode = found.stat().st_mode
    except FileNotFoundError:
        return found  # the file does not exist yet
    except (OSError, RuntimeError, ValueError) as error:
        raise ValueError(
            f"Cannot access {shown} ({reason(error)}). Choose another file name."
        ) from None
    if stat.S_ISDIR(mode):
        raise ValueError(f"{shown} is a folder. Pass the name of a file in it.")
    if not stat.S_ISREG(mode):
        raise ValueError(f"{shown} is a device or a pipe. Pass the name of a regular file.")
    return found


def reason(error: Exception) -> str:
    """Return the system's description of an error, without the error number
    or the name of a temporary file.
    """
    return getattr(error, "strerror", None) or str(error)


def check_writable(path: Path) -> None:
    """Create the folder that contains `path`, and raise OSError if no file can be created in it."""
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    temporary.open("xb").close()
    temporary.unlink()


def write_whole(path: str | Path, data: bytes, *, replace: bool = True) -> None:
    """Write data to a path returned by `usable`, either completely or not at all.

    If the path is a symbolic link, the link is kept and the file that it points to is written.
    Several processes may write to the same path. Each process uses its own temporary file, so a
    reader always gets the complete data written by a single process.

    replace: whether to replace an existing file instead of raising FileExistsError.
    Raises OSError if the file cannot be written, in which case an existing file is left unchanged.
    """
    path = Path(os.path.realpath(path))
    _clear_stale(path)
    temporary = _temporary(path)
    try:
        # a file from tempfile.mkstemp is readable only by its owner
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # the data must be on disk before the file is renamed
        if replace:
            os.replace(temporary, path)
        else:
            _take_free_name(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    """Return a unique path beside `path`, with a name shorter than the limit of 255 bytes."""
    return path.with_name(f".{path.name[:40]}.{secrets.token_hex(8)}.tmp")


def _take_free_name(temporary: Path, path: Path) -> None:
    """Rename the temporary file to `path`. Raise FileExistsError if `path` already exists."""
    try:
        os.link(temporary, path)  # unlike renaming, linking fails if the name is taken
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links, such as FAT
        if path.exists():
            raise FileExistsError(f"{path} already exists.") from None
        os.replace(temporary, path)


def _clear_stale(path: Path) -> None:
    """Delete old temporary files for `path` that killed processes have left behind."""
    for left in path.parent.glob(f".{glob.escape(path.name[:40])}.*.tmp"):
        with contextlib.suppress(OSError):  # another process may delete the file first
            if time.time() - left.stat().st_mtime > STALE_SECONDS:
                left.unlink()
