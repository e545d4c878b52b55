"""Find or download a corpus.

There are no long waits if the network is down, and no partial files are left behind.
"""

import os
import shutil
import socket
import tempfile
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
# Seconds; a working mirror answers within two, and the wait without a network should be short.
PROBE = 6.0
STALL = 10.0  # seconds without a single byte, after which a download is abandoned


class AnotherDataSet(Exception):
    """Raised if the files belong to another data set;
    the message explains how to use that data set.
    """


def cache_folder() -> tuple[str, Path]:
    """Return the name (for messages) and the path of the download folder,
    which is the repository's data/ or a cache.

    If there is no repository, as on Colab, the folder is ~/.cache/course_lib, because data/ in the
    working directory would not be shared between the notebook folders.
    """
    repository = Path(__file__).resolve().parents[2]
    if (repository / "pyproject.toml").is_file():
        return "data/", repository / "data"
    return "~/.cache/course_lib", Path.home() / ".cache" / "course_lib"


def look(read: Callable[[Path], T]) -> tuple[T, str] | None:
    """Read from $COURSE_DATA or else from the cache;
    return the result and the name of its source, or None if both fail.

    `read` must raise FileNotFoundError if the corpus is missing, and ValueError or OSError if it is
    damaged. The reason for a failure is printed, unless the corpus is merely missing from the
    cache. AnotherDataSet is re-raised with the name of the place, because trying the next place
    would hide the problem.
    """
    given = os.environ.get("COURSE_DATA", "")
    places = [cache_folder()]
    if given:
        places.insert(0, ("$COURSE_DATA", Path(given).expanduser()))
    for name, folder in places:
        try:
            return read(folder), name
        except AnotherDataSet as error:
            raise AnotherDataSet(f"{name} {error}") from None
        except FileNotFoundError as error:
            if name == "$COURSE_DATA":  # an empty cache is normal and not reported
                print(f"$COURSE_DATA is not used because it does not contain {error}.")
        except (OSError, ValueError) as error:
            print(f"{name} is not used: {_reason(error)}.")
    return None


def fetch(
    corpus: str,
    read: Callable[[Path], T],
    urls: Sequence[str],
    download: Callable[[Path, list[str]], object],
) -> tuple[T, str]:
    """Download a corpus into a temporary folder, verify it by reading it, and move it to the cache.

    urls: the URL of one file on each mirror, used to find the mirrors that respond. download: a
    function that takes a folder and the URLs that respond, and downloads the corpus into the
    folder. Returns the result of `read` and a description of where the files are now. Raises
    ConnectionError if anything fails.
    """
    if os.environ.get("COURSE_OFFLINE", "") not in ("", "0"):
        raise ConnectionError("COURSE_OFFLINE is set")
    before = socket.getdefaulttimeout()
    try:
        live = _alive(urls)
        print(f"Downloading {corpus} …")
        socket.setdefaulttimeout(STALL)
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as new:
            download(Path(new), live)
            return read(Path(new)), _keep(Path(new))
    except Exception as error:
        # a network failure, a full disk or a damaged file: dozens of exception types
        raise ConnectionError(f"the download failed: {_reason(error)}") from error
    finally:
        socket.setdefaulttimeout(before)


def _alive(urls: Sequence[str]) -> list[str]:
    """Return the URLs that respond within PROBE seconds, in their original order.

    Raises ConnectionError if none responds.
    """

    def ask(url: str) -> str:
        urllib.request.urlopen(url, timeout=PROBE).close()
        return url

    pool = ThreadPoolExecutor(len(urls))  # a socket timeout does not cover a name server that hangs
    asked = [pool.submit(ask, url) for url in urls]
    wait(asked, timeout=PROBE)
    pool.shutdown(wait=False)
    live = [answer.result() for answer in asked if answer.done() and not answer.exception()]
    if not live:
        failed = asked[0].exception() if asked[0].done() else None
        reason = _reason(failed) if failed else f"no answer within {PROBE:.0f} seconds"
        raise ConnectionError(f"no network, {reason}")
    return live


def _keep(new: Path) -> str:
    """Move the unpacked files into the cache, each one atomically,
    and return a description of their new location.
    """
    name, cache = cache_folder()
    try:
        for source in [path for path in new.rglob("*") if path.is_file() and path.suffix != ".gz"]:
            target = cache / source.relative_to(new)
            target.parent.mkdir(parents=True, exist_ok=True)
            # a move within one disk is atomic
            with tempfile.TemporaryDirectory(dir=target.parent) as beside:
                os.replace(shutil.copyfile(source, Path(beside) / source.name), target)
    except OSError as error:
        return f"a download that was not saved because writing to {name} failed ({_reason(error)})"
    return f"a download, now in {name}"


def _reason(error: BaseException) -> str:
    """Describe an error by its file name, if it has one, and by the last line of its message."""
    cause, path = getattr(error, "reason", error), getattr(error, "filename", None)
    text = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
    return (f"{Path(path).name}: " if path else "") + text.strip().splitlines()[-1].rstrip(".")
