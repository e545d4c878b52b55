# %% [markdown]
# question: responsibilities

# %% [markdown]
# question: m_step

# %% [markdown]
# question: missing
