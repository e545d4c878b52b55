"""Checks that identify a student's mistake.

Each check, such as `checks.m_step(my_m_step)`, prints one line. The printed line says "Not started"
or "Correct", or names the mistake and says where to look. A check runs the student's function on
small inputs, compares the results with known answers, and tests that they have the required
properties. No hashes of solutions are stored. An error in the student's code is reported without a
traceback. The solutions that each check must accept and the wrong answers that it must recognize
are in tests/test_checks_*.py.
Each run of a check also draws new inputs, some of which differ in size from the example
(`other_inputs`), tries extreme inputs, and compares gradients where they matter (`gradients`). See
report.py. A new check takes only five lines of code. A `Table` contains a small input, the known
answer, and the result of each typical mistake, keyed by the sentence that describes the mistake.
End each of these sentences with a period, because the message continues with the first wrong
element:

    import torch
    from course_lib.checks.report import Student, Table, exercise

    @exercise
    def square(student: Student) -> None:
        '''The square of each element of x (N,).'''  # shown after "✓ Correct:"
        x = torch.tensor([1.5, -3.0])
        Table({"x": x}, x**2, {"the numbers are doubled, not squared.": 2 * x}).ask(student)
"""

from course_lib.checks.autoencoder import kl, reparameterize, vae_loss
from course_lib.checks.bound import importance_weighted_bound, kl_to_standard_normal, lower_bound
from course_lib.checks.conditional import conditional_forward, kl_between, log_marginal, style_rows
from course_lib.checks.gan import class_kl, precision, r1_penalty
from course_lib.checks.gpu import elbo_gradients, online_logsumexp, tile_sum
from course_lib.checks.mixtures import m_step, responsibilities, sample_mixture
from course_lib.checks.start import binarize, nats_per_image, to_points
from course_lib.checks.toy_gan import best_value, discriminator_loss, generator_step
from course_lib.checks.vae import generate, log_bernoulli, nll_bound, paired_error, second_draw

__all__ = ["elbo_gradients", "online_logsumexp", "tile_sum"]
__all__ += ["best_value", "binarize", "class_kl", "conditional_forward", "discriminator_loss"]
__all__ += ["generate", "generator_step", "importance_weighted_bound", "kl"]
__all__ += ["kl_between", "kl_to_standard_normal", "log_bernoulli", "log_marginal", "lower_bound"]
__all__ += ["m_step", "nats_per_image", "nll_bound", "paired_error", "precision", "r1_penalty"]
__all__ += ["reparameterize", "responsibilities", "sample_mixture", "second_draw"]
__all__ += ["style_rows", "to_points", "vae_loss"]
