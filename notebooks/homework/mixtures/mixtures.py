# %% [markdown]
# # Homework: mixtures and EM
#
# Six questions, 100 points, two to three hours. Prerequisites: the chapter *Gaussian mixtures and EM*, and pencil and
# paper.
#
# - Write each function in its own cell. Keep its name, its arguments and the order of what it returns.
# - The cell below each function tries it on one public example and names common mistakes. The grader uses other inputs,
#   of other sizes and with extreme values, so an answer that works only on the example earns little.
# - Any correct implementation is accepted: loops, einsum, NumPy, `torch.distributions`. Only the numbers are compared.
# - Arrays are passed as float32 tensors and single numbers as Python numbers. All logarithms are natural.
# - This notebook runs from top to bottom even before anything is solved. Hand it in together with the file
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
