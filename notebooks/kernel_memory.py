"""How much memory a chapter's kernel takes, measured while the chapter runs.

A class may start two hundred kernels on one server. So a chapter may take LIMIT beyond what its imports
take, and its opening says what it takes in all. Only Linux tells the peak of another process; elsewhere
nothing is measured.
"""

from __future__ import annotations

import re
from pathlib import Path

from nbformat import NotebookNode

LIMIT = 1.0  # GB beyond the imports; a GB is 10**9 bytes
# Chapters that may take more in their full run, and how much. There is none; add none.
STILL_MORE: dict[str, float] = {}


def limit_of(chapter: str) -> float:
    """The GB that a chapter may take beyond its imports."""
    return STILL_MORE.get(chapter, LIMIT)


def gigabytes(pid: int, field: str) -> float | None:
    """What a process holds now (field VmRSS) or the most it has held (VmHWM); None where nothing tells."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return None
    found = re.search(rf"^{field}:\s+(\d+) kB$", status.read_text(), re.M)
    return int(found[1]) * 1024 / 1e9 if found else None


class Meter:
    """Follows one kernel through a chapter, whose first code cells, tagged `imports`, hold the imports.

    `imports` is what the kernel holds after the last of them, or after the first code cell if none is tagged;
    `peak` is the most it has held up to now. Both are in GB, and None as long as nothing was measured.
    """

    def __init__(self) -> None:
        self.imports: float | None = None
        self.peak: float | None = None

    def read(self, pid: int, cell: NotebookNode) -> None:
        """Measure the kernel; to be called after each code cell, with that cell."""
        if self.imports is None or "imports" in cell.metadata.get("tags", []):
            self.imports = gigabytes(pid, "VmRSS")
        self.peak = gigabytes(pid, "VmHWM")

    @property
    def beyond_imports(self) -> float:
        """The peak without the imports, in GB; 0 where nothing was measured."""
        if self.imports is None or self.peak is None:
            return 0.0
        return self.peak - self.imports

    def __str__(self) -> str:
        if self.peak is None:
            return "memory not measured"
        return f"{self.peak:.2f} GB of memory, {self.imports:.2f} of it for the imports"
