"""Probabilities that every model is made of: Gaussians, likelihoods of pixels, EM's two steps, the bound.

Nothing here has weights or learns; a function takes tensors and returns log-densities in nats.
"""
