# %% [markdown]
# # Homework: generative adversarial networks
#
# This homework has seven questions, worth 100 points in total, and takes about three hours. You should have worked
# through the chapters *A GAN in one dimension* and *GANs on MNIST*. Have pencil and paper ready.
#
# - Write each function in its own cell. Keep the function's name, its arguments and the order of its results.
# - The cell below each function tests the function on one public example and points out common mistakes. The grader
#   uses different inputs, including other sizes and extreme values, so an answer that works only on the example earns
#   few points.
# - Any correct implementation is accepted, with loops, einsum, NumPy or automatic differentiation. Only the returned
#   values are compared.
# - Real points come from the data, and generated points come from the generator G. The discriminator D gives each point
#   a *logit*: the larger the logit, the more real the point looks to D. A *slope* is a gradient, as in the chapters.
# - All logarithms are natural, so losses are in nats.
# - This notebook runs from top to bottom even before you have solved anything. Hand it in together with the file
#   `design.safetensors`, which `hand_in` writes in question 6.

# %%
import math

import torch
from torch import nn
from torch.nn import functional as F

# %% tags=["practice"]
from course_lib.checks.practice import Practice, hand_in

practice = Practice("gan")

# %% [markdown]
# question: losses

# %% [markdown]
# question: optimum

# %% [markdown]
# question: distance

# %% [markdown]
# question: penalty

# %% [markdown]
# question: step

# %% [markdown]
# question: digits_samples

# %% [markdown]
# question: explain
