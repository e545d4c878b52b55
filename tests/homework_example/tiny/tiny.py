# %% [markdown]
# # A tiny assignment, for the tests

# %%
import numpy as np

# %% [markdown]
# question: log_mean_exp

# %% [markdown]
# question: sgd_step
