"""Probabilities for all models: Gaussians, pixel likelihoods, priors, the steps of EM, and the lower bound.

Almost everything here is a plain function of tensors. All log-probabilities are in nats.
"""
