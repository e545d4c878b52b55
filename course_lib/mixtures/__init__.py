"""Gaussian mixtures as an estimator of scikit-learn's kind, with EM's steps as large matrix products.

`estimator` is the class that users meet, `starts` is where its fit begins, and `fitted` is what it answers
afterwards. `fast_steps` and `density` may be changed as long as both agree with course_lib.probability.em,
which is the version to read.
"""

from course_lib.mixtures.estimator import GaussianMixture

__all__ = ["GaussianMixture"]
