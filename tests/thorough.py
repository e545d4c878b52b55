"""How much the tests try: `make test` a fair sample of the costly cases, `make thorough` all."""

import os
from collections.abc import Sequence
from typing import TypeVar

Case = TypeVar("Case")

THOROUGH = os.environ.get("COURSE_THOROUGH", "") not in ("", "0")


def some(cases: Sequence[Case], count: int) -> list[Case]:
    """All cases in a thorough run, else `count` of them, evenly spaced from the first."""
    if THOROUGH or len(cases) <= count:
        return list(cases)
    return [cases[number * len(cases) // count] for number in range(count)]
