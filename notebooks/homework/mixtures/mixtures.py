# %% [markdown]
# # Homework: mixtures and EM
#
# This homework has six questions, worth 100 points in total, and takes two to three hours. You should have worked
# through the chapter *Gaussian mixtures and EM*. Have pencil and paper ready.
#
# - Write each function in its own cell. Keep the function's name, its arguments and the order of its results.
# - The cell below each function tests the function on one public example and points out common mistakes. The grader
#   uses different inputs, including other sizes and extreme values, so an answer that works only on the example earns
#   few points.
# - Any correct implementation is accepted, with loops, einsum, NumPy or `torch.distributions`. Only the returned values
#   are compared.
# - Arrays are passed as float32 tensors and single numbers as Python numbers. All logarithms are natural.
# - This notebook runs from top to bottom even before you have solved anything. Hand it in together with the file
#   `design.safetensors`, which `hand_in` writes in question 5.

# %%
import math

import torch

# %% tags=["practice"]
from course_lib.checks.practice import Practice, hand_in

practice = Practice("mixtures")

# %% [markdown]
# question: responsibilities

# %% [markdown]
# question: m_step

# %% [markdown]
# question: missing

# %% [markdown]
# question: gradient

# %% [markdown]
# question: digits_mixture

# %% [markdown]
# question: explain
