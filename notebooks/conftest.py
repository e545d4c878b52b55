"""While nbval runs a chapter: the cell that takes its kernel beyond the limit of memory fails."""

from __future__ import annotations

from collections.abc import Generator

import pytest
from kernel_memory import Meter, limit_of


class MemoryLimitError(Exception):
    """A chapter takes more memory than a class can share."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    yield
    chapter = item.parent
    kernel = getattr(chapter, "kernel", None)
    if kernel is None:  # this is no cell of a notebook
        return
    if not hasattr(chapter, "meter"):
        chapter.meter = Meter()
    chapter.meter.read(kernel.km.provisioner.pid, item.cell)
    beyond, limit = chapter.meter.beyond_imports, limit_of(chapter.path.stem)
    if beyond > limit:
        raise MemoryLimitError(
            f"up to this cell the kernel takes {beyond:.1f} GB beyond its imports, and a chapter may take "
            f"{limit:.1f}. Work through the data in parts, and keep bytes or float32 where they will do."
        )
