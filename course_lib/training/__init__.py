"""The training loop for all models, the training steps, and checkpoints.

A run that is resumed from a checkpoint continues bit for bit as if it had never been interrupted. A
chapter needs only `Run`. The modules `vae` and `gan` define the training steps of the models. The
other modules save, interrupt and resume runs, replay steps as CUDA graphs on a GPU, and share steps
among processes.
"""

from course_lib.training.loop import Run

__all__ = ["Run"]
