"""The models, each the class that a chapter builds: auto-encoder, VAE, conditional VAE, pixel by pixel, GAN.

A model maps images in [0, 1] to what its loss needs, and does not train itself. A new one is a new file here.
"""
