# %% [markdown]
# question: responsibilities

# %% [markdown]
# question: m_step
