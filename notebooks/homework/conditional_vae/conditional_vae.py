# %% [markdown]
# # Homework: the conditional VAE
#
# This homework has seven questions, worth 100 points in total, and takes two to three hours. You should have worked
# through the chapter *The conditional VAE*. Have pencil and paper ready.
#
# - Write each function in its own cell. Keep the function's name, its arguments and the order of its results.
# - The cell below each function tests the function on one public example and points out common mistakes. The grader
#   uses different inputs, including other sizes and extreme values, so an answer that works only on the example earns
#   few points.
# - Any correct implementation is accepted, with loops, einsum, NumPy or `torch.distributions`. Only the returned values
#   are compared.
# - All logarithms are natural, so bounds and KL divergences are in nats. `logvar` is the logarithm of a variance.
# - Labels are integers from 0 to C − 1, where C is the number of labels.
# - This notebook runs from top to bottom even before you have solved anything. Hand it in together with the file
#   `design.safetensors`, which `hand_in` writes in question 6.

# %%
import math

import torch
from torch import nn
from torch.nn import functional as F

# %% tags=["practice"]
from course_lib.checks.practice import Practice, hand_in

practice = Practice("conditional_vae")

# %% [markdown]
# question: condition

# %% [markdown]
# question: conditional_bound

# %% [markdown]
# question: semi_supervised

# %% [markdown]
# question: predict

# %% [markdown]
# question: identity

# %% [markdown]
# question: digits_by_label

# %% [markdown]
# question: explain
