# %% [markdown]
# # Homework: the bound and the VAE
#
# question: kl
# question: reparameterize
# question: objective
