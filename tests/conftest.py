"""What all tests share: no window for figures, the same examples in every run."""

from __future__ import annotations

import signal
from pathlib import Path

import matplotlib
import pytest
from hypothesis import HealthCheck, settings

matplotlib.use("Agg")

# derandomize: a red test is red again for the next person. No deadline: two workers share two
# cores. No database: the same examples need none, and whoever tests a folder of somebody else
# cannot write one.
settings.register_profile(
    "course",
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("course")


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the repository."""
    return Path(__file__).parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Notebooks and browsers first: a long file that begins last leaves the other worker idle."""
    long = {
        i.path
        for i in items
        if i.path.suffix == ".ipynb" or "chromium" in getattr(i, "fixturenames", ())
    }
    items.sort(key=lambda item: item.path not in long)


@pytest.fixture(autouse=True)
def as_in_a_terminal():
    """A shell's background job ignores Ctrl-C, and so would tests that press it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
