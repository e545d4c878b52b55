# %% [markdown]
# # A tiny assignment, for the tests

# %%
import math

import torch

# %% [markdown]
# question: log_mean_exp

# %% [markdown]
# question: sgd_step
