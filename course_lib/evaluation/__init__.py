"""Measures of how good a model is: its likelihood and the quality of its samples.

A classifier is used to judge the samples. To add a measure, write a function that takes images or a
model, and document the unit of its result.
"""

from course_lib.evaluation.classifier import Classifier
from course_lib.evaluation.likelihood import NLL, active_units, elbo, kl_per_dimension, nll
from course_lib.evaluation.samples import judge, taken_for_real

__all__ = [
    "NLL",
    "Classifier",
    "active_units",
    "elbo",
    "judge",
    "kl_per_dimension",
    "nll",
    "taken_for_real",
]
