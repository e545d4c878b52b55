"""Gaussian mixtures as a scikit-learn estimator, with the steps of EM computed as large matrix products.

`estimator` contains the public class, `starts` computes the initial parameters of a fit, and `fitted`
contains the methods of a fitted mixture. `fast_steps` and `density` may be changed as long as their results
agree with those of `course_lib.probability.em`, the version that is easiest to read.
"""

from course_lib.mixtures.estimator import GaussianMixture

__all__ = ["GaussianMixture"]
