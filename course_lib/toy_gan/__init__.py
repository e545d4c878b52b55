"""The 1-D GAN of the GAN paper's figure 1, small enough that everything about it can be known exactly.

`Game` computes what the widget's engine in JavaScript computes as well: change both, and
`tests/test_widgets_toy_gan.py` says whether they still agree.
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
