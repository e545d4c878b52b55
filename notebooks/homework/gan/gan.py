# %% [markdown]
# # Homework: generative adversarial networks
#
# Seven questions, 100 points, about three hours. You need the chapters *A GAN in one dimension* and *GANs on MNIST*,
# and pencil and paper.
#
# - Write each function in its own cell. Keep its name, its arguments and what it returns.
# - The cell below each function tries it on one public example and names common mistakes. The grader uses other inputs,
#   of other sizes and with extreme values, so an answer that works only on the example earns little.
# - Any correct implementation is accepted: loops, einsum, NumPy, automatic differentiation. Only the numbers are
#   compared.
# - Real points come from the data, generated points from the generator G. The discriminator D gives each point a
#   *logit*: the larger it is, the more real the point looks to D. A *slope* is a gradient, as in the chapters.
# - All logarithms are natural, so losses are in nats.
# - This notebook runs from top to bottom before anything is solved. Hand it in together with the file
#   `design.safetensors`, which question 6 writes.

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
