"""The one-dimensional GAN in figure 1 of the GAN paper, small enough to be measured exactly.

`Game` and the JavaScript engine of the widget perform the same computations. A change to one of
them must also be made to the other; `tests/test_widgets_toy_gan.py` checks that the two agree.
"""

from course_lib.toy_gan.game import HEAD, ROWS, SIZE, Game, State
from course_lib.toy_gan.grid import CELLS, Grid
from course_lib.toy_gan.history import History
from course_lib.toy_gan.presets import PRESETS, Preset
from course_lib.toy_gan.settings import STRUCTURE, Settings

__all__ = [
    "CELLS",
    "HEAD",
    "PRESETS",
    "ROWS",
    "SIZE",
    "STRUCTURE",
    "Game",
    "Grid",
    "History",
    "Preset",
    "Settings",
    "State",
]
