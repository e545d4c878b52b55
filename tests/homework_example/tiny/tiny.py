# %% [markdown]
# # A tiny assignment, for the tests

# %%
import numpy as np

# %% tags=["practice"]
from course_lib.checks.practice import Practice

practice = Practice("tiny")

# %% [markdown]
# question: log_mean_exp

# %% [markdown]
# question: sgd_step
