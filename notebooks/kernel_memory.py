"""Measure the memory of a chapter's kernel while the chapter runs.

A class may start two hundred kernels on one server. A chapter may therefore use at most LIMIT in
addition to the memory of its imports, and its opening states the total. Only Linux reports the peak
memory of another process; on other systems nothing is measured.
"""

from __future__ import annotations

import re
from pathlib import Path

from nbformat import NotebookNode

LIMIT = 1.0  # GB in addition to the imports; a GB is 10**9 bytes
# Chapters that may use more in a full run, with their limits: there are, and should be, none.
STILL_MORE: dict[str, float] = {}


def limit_of(chapter: str) -> float:
    """Return the memory, in GB, that a chapter may use in addition to its imports."""
    return STILL_MORE.get(chapter, LIMIT)


def gigabytes(pid: int, field: str) -> float | None:
    """Return a process's current (VmRSS) or peak (VmHWM) memory in GB, or None if unavailable."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return None
    found = re.search(rf"^{field}:\s+(\d+) kB$", status.read_text(), re.M)
    return int(found[1]) * 1024 / 1e9 if found else None


class Meter:
    """Measures the memory of a kernel during a chapter whose first code cells are tagged `imports`.

    `imports` is the memory after the last cell with this tag, or after the first code cell if there
    is no such cell; `peak` is the peak memory so far. Both are in GB, and None before the first
    measurement.
    """

    def __init__(self) -> None:
        self.imports: float | None = None
        self.peak: float | None = None

    def read(self, pid: int, cell: NotebookNode) -> None:
        """Measure the kernel. Call this after each code cell, with that cell."""
        if self.imports is None or "imports" in cell.metadata.get("tags", []):
            self.imports = gigabytes(pid, "VmRSS")
        self.peak = gigabytes(pid, "VmHWM")

    @property
    def beyond_imports(self) -> float:
        """The peak memory minus the memory of the imports, in GB, or 0 if nothing was measured."""
        if self.imports is None or self.peak is None:
            return 0.0
        return self.peak - self.imports

    def __str__(self) -> str:
        if self.peak is None:
            return "memory not measured"
        return f"{self.peak:.2f} GB of memory, {self.imports:.2f} of it for the imports"
