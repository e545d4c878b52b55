# %% [markdown]
# # Homework: generative adversarial networks
#
# Seven questions, 100 points, about three hours. You need the chapters *A GAN in one dimension* and *GANs on MNIST*,
# pencil and paper.
#
# - Write each function in its own cell. Keep its name, its arguments and what it returns.
# - The cell below each function tries it on one public example and names common mistakes. The grader asks about other
#   inputs, of other sizes and also extreme ones, so an answer that fits the example alone earns little.
# - Every way of writing a right answer is right: loops, einsum, NumPy, automatic differentiation. Only numbers count.
# - Real points come from the data, generated points from the generator G. The discriminator D gives a *logit*: the
#   larger it is, the more real D holds a point to be. All losses are in nats.
# - This notebook runs from top to bottom before anything is solved. Hand it in with the file `design.safetensors`.

# %%
import math

import torch

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
