# %% [markdown]
# # Homework: the conditional VAE
#
# Seven questions, 100 points, two to three hours. You need the chapter *The conditional VAE*, and pencil and paper.
#
# - Write each function in its own cell. Keep its name, its arguments and what it returns.
# - The cell below each function tries it on one public example and names common mistakes. The grader uses other inputs,
#   of other sizes and with extreme values, so an answer that works only on the example earns little.
# - Any correct implementation is accepted: loops, einsum, NumPy, `torch.distributions`. Only the numbers are compared.
# - All logarithms are natural, so bounds and KL divergences are in nats. `logvar` is the logarithm of a variance.
# - Labels are integers from 0 to C − 1, where C is the number of labels.
# - This notebook runs from top to bottom before anything is solved. Hand it in together with the file
#   `design.safetensors`, which question 6 writes.

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
