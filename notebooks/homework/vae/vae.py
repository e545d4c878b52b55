# %% [markdown]
# # Homework: the bound and the VAE
#
# Seven questions, 100 points, two to three hours. Prerequisites: the chapters *The evidence lower bound*, *From
# auto-encoder to VAE* and *The VAE on MNIST*, and pencil and paper.
#
# - Write each function in its own cell. Keep its name, its arguments and the order of what it returns.
# - The cell below each function tries it on one public example and names common mistakes. The grader uses other inputs,
#   of other sizes and with extreme values, so an answer that works only on the example earns little.
# - Any correct implementation is accepted: loops, einsum, NumPy, `torch.distributions`. Only the numbers are compared.
# - Arrays are passed as float32 tensors and single numbers as Python numbers.
# - All logarithms are natural, so that bounds and KL divergences are in nats. `logvar` is the logarithm of a variance.
# - This notebook runs from top to bottom even before anything is solved. Hand it in together with the file
#   `design.safetensors`, which `hand_in` writes in question 6.

# %%
import math

import torch
from torch import nn
from torch.nn import functional as F

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
