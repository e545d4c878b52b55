"""The loop that trains every model, checkpoints that resume to the last bit, and the steps of the models.

`Run` is all that a chapter needs. `vae` and `gan` say what a step of each model is; the other files say how a
run is kept, stopped and gone on with, how a GPU takes its steps as a graph, and how processes share them.
"""

from course_lib.training.loop import Run

__all__ = ["Run"]
