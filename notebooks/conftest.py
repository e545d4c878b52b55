"""Make the cell fail that takes its kernel above the memory limit while nbval runs a chapter."""

from __future__ import annotations

from collections.abc import Generator

import pytest
from kernel_memory import Meter, limit_of


class MemoryLimitError(Exception):
    """Raised if a chapter uses more memory than a shared server can give each student."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    yield
    chapter = item.parent
    kernel = getattr(chapter, "kernel", None)
    if kernel is None:  # the item is not a cell of a notebook
        return
    if not hasattr(chapter, "meter"):
        chapter.meter = Meter()
    chapter.meter.read(kernel.km.provisioner.pid, item.cell)
    beyond, limit = chapter.meter.beyond_imports, limit_of(chapter.path.stem)
    if beyond > limit:
        raise MemoryLimitError(
            f"Up to this cell the kernel uses {beyond:.1f} GB in addition to its imports, "
            f"but the limit is {limit:.1f} GB. "
            "Process the data in parts, and store bytes or float32 where they are enough."
        )
