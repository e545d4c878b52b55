"""The models that the chapters build: auto-encoder, VAE, conditional VAE, autoregressive models and GAN.

The models compute their losses from images in [0, 1] and do not train themselves; only `gan` also contains an
update step for each player. To add a model, add a file to this folder.
"""
