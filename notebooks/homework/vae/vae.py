# %% [markdown]
# # Homework: the bound and the VAE
#
# Seven questions, 100 points, two to three hours. You need the chapters *The lower bound*, *From auto-encoder to VAE*
# and *The VAE on MNIST*, pencil and paper.
#
# - Write each function in its own cell. Keep its name, its arguments and what it returns.
# - The cell below each function tries it on one public example and names common mistakes. The grader asks about other
#   inputs, of other sizes and also extreme ones, so an answer that fits the example alone earns little.
# - Every way of writing a right answer is right: loops, einsum, NumPy, `torch.distributions`. Only numbers count.
# - All logarithms are natural, so that bounds and KL divergences are in nats. `logvar` is the logarithm of a variance.
# - This notebook runs from top to bottom before anything is solved. Hand it in with the file `design.safetensors`.

# %%
import math

import torch

# %% tags=["practice"]
from course_lib.checks.practice import Practice, hand_in

practice = Practice("vae")

# %% [markdown]
# question: kl

# %% [markdown]
# question: reparameterize

# %% [markdown]
# question: objective

# %% [markdown]
# question: estimator

# %% [markdown]
# question: optimum

# %% [markdown]
# question: digits_decoder

# %% [markdown]
# question: explain
