# %% [markdown]
# question: responsibilities
