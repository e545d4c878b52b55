"""A scikit-learn estimator for Gaussian mixtures that computes EM's steps as large matrix products.

`estimator` contains the public class, `starts` computes the initial parameters of a fit, and
`fitted` contains the methods of a fitted mixture. The results of `fast_steps` and `density` must
agree with those of `course_lib.probability.em`, which is slower but easier to read.
"""

from course_lib.mixtures.estimator import GaussianMixture

__all__ = ["GaussianMixture"]
