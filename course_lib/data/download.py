"""Finding a corpus, or fetching it, so that nobody waits for a dead network or reads a half-written file."""

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
PROBE = 6.0  # seconds: a live mirror answers within two; who has no network should not wait longer
STALL = 10.0  # seconds without one byte, after which a running download is given up


class AnotherDataSet(Exception):
    """Whole files of another data set lie where one was looked for; says which, and how to choose it."""


def cache_folder() -> tuple[str, Path]:
    """The folder for downloads, with its name for people: the repository's data/, else ~/.cache/course_lib.

    Without a repository (Colab), data/ in the current folder would be another one for each notebook's folder.
    """
    repository = Path(__file__).resolve().parents[2]
    if (repository / "pyproject.toml").is_file():
        return "data/", repository / "data"
    return "~/.cache/course_lib", Path.home() / ".cache" / "course_lib"


def look(read: Callable[[Path], T]) -> tuple[T, str] | None:
    """What `read` finds in $COURSE_DATA, else in the cache, and which of them it was; None: in neither.

    read raises FileNotFoundError where the corpus is not, ValueError or OSError where it is damaged: printed.
    Its AnotherDataSet is raised, with the name of the place, because the next place would hide it.
    """
    given = os.environ.get("COURSE_DATA", "")
    for name, folder in [("$COURSE_DATA", Path(given).expanduser())] * bool(given) + [cache_folder()]:
        try:
            return read(folder), name
        except AnotherDataSet as error:
            raise AnotherDataSet(f"{name} {error}") from None
        except FileNotFoundError as error:
            if name == "$COURSE_DATA":  # an empty cache is no news
                print(f"Not used: $COURSE_DATA has no {error}.")
        except (OSError, ValueError) as error:
            print(f"Not used: in {name}, {_reason(error)}.")
    return None


def fetch(
    corpus: str, read: Callable[[Path], T], urls: Sequence[str], download: Callable[[Path, list[str]], object]
) -> tuple[T, str]:
    """Download into a temporary folder, read and so verify there, and only then move into the cache.

    urls: one file on each mirror, to ask which are alive; download: takes a folder and the live urls.
    Returns what `read` returned and where it is now, in words. Raises ConnectionError, whatever the reason.
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
    except Exception as error:  # of the network, of a full disk, of a damaged file: dozens of types
        raise ConnectionError(f"the download failed: {_reason(error)}") from error
    finally:
        socket.setdefaulttimeout(before)


def _alive(urls: Sequence[str]) -> list[str]:
    """Those urls that answer within PROBE seconds, in their order; raises ConnectionError when none does."""

    def ask(url: str) -> str:
        urllib.request.urlopen(url, timeout=PROBE).close()
        return url

    pool = ThreadPoolExecutor(len(urls))  # threads: a socket's timeout does not cover a hanging name server
    asked = [pool.submit(ask, url) for url in urls]
    wait(asked, timeout=PROBE)
    pool.shutdown(wait=False)
    live = [answer.result() for answer in asked if answer.done() and not answer.exception()]
    if not live:
        failed = asked[0].exception() if asked[0].done() else None
        raise ConnectionError("no network, " + (_reason(failed) if failed else f"no answer in {PROBE:.0f} s"))
    return live


def _keep(new: Path) -> str:
    """Put the unpacked files into the cache, each whole or not at all; returns where they are, in words."""
    name, cache = cache_folder()
    try:
        for source in [path for path in new.rglob("*") if path.is_file() and path.suffix != ".gz"]:
            target = cache / source.relative_to(new)
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=target.parent) as beside:  # on one disk a move is atomic
                os.replace(shutil.copyfile(source, Path(beside) / source.name), target)
    except OSError as error:
        return f"a download, not kept because {name} cannot be written ({_reason(error)})"
    return f"a download, now in {name}"


def _reason(error: BaseException) -> str:
    """An error in words: no number, no folder of this machine, only the last of torchvision's many lines."""
    cause, path = getattr(error, "reason", error), getattr(error, "filename", None)
    text = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
    return (f"{Path(path).name}: " if path else "") + text.strip().splitlines()[-1].rstrip(".")
