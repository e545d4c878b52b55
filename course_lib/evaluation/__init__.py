"""How good is a model? Likelihoods of test images, the quality of samples, a classifier as referee.

A new yardstick is a function here that takes images or a model, and says its unit.
"""

from course_lib.evaluation.classifier import Classifier
from course_lib.evaluation.likelihood import NLL, active_units, elbo, kl_per_dimension, nll
from course_lib.evaluation.samples import judge, taken_for_real

__all__ = ["NLL", "Classifier", "active_units", "elbo", "judge", "kl_per_dimension", "nll", "taken_for_real"]
