"""The loop that trains every model, with checkpoints that resume to the last bit, and a GAN's two updates.

`Run` is all that a chapter needs; the other files say how a run is kept, stopped and gone on with.
"""

from course_lib.training.loop import Run

__all__ = ["Run"]
