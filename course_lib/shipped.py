"""The networks that come with the course, and what a chapter trains in their place on other data than MNIST.

The shipped networks learned MNIST and know nothing else. Chapters 06 and 08 need a classifier, a conditional
VAE and a GAN of the data that they run on, so on another data set these are trained on the spot, briefly.
"""

import math
from dataclasses import replace
from typing import Any

from torch import nn

from course_lib import recipes
from course_lib.data import Digits
from course_lib.data.corpora import MNIST
from course_lib.device import FAST
from course_lib.evaluation.classifier import Classifier, train_classifier
from course_lib.training.checkpoints import load_model

STEPS = 200 if FAST else 2_000  # of a stand-in's training: half a minute to some minutes on two cores
# The shipped file, and the recipe of what stands in for it. VAE and GAN: those that two cores can train.
STAND_INS = {"vae": "four_minutes", "conditional_vae": "conditional", "gan": "gan_four_minutes"}


def model_for(digits: Digits, name: str, steps: int = STEPS, seed: int = 0) -> nn.Module:
    """The shipped "vae", "conditional_vae" or "gan"; for other digits than MNIST's, one trained on them.

    steps: of that training, at least; no more epochs than its recipe has.
    """
    if digits.name == MNIST.name:
        return load_model(recipes.WEIGHTS / f"{name}.safetensors", digits.images.device)
    recipe = recipes.RECIPES[STAND_INS[name]]
    recipe = replace(recipe, batch_size=min(recipe.batch_size, len(digits)))
    epochs = min(recipe.epochs, _epochs(digits, recipe.batch_size, steps))
    model, _ = recipes.train(recipe, digits, seed, epochs, quiet=True)
    print(f"The shipped {name} knows MNIST only; in its place one was trained for {epochs:.3g} epochs.")
    return model


def classifier_for(digits: Digits, steps: int = STEPS, seed: int = 0) -> Classifier:
    """The shipped classifier; for other digits than MNIST's, one trained on them for at least `steps`."""
    if digits.name == MNIST.name:
        return Classifier.load(digits.images.device)
    batch_size = min(256, len(digits))
    epochs = math.ceil(_epochs(digits, batch_size, steps))
    options: dict[str, Any] = {"seed": seed, "epochs": epochs, "batch_size": batch_size, "quiet": True}
    model = train_classifier(digits, **options)
    print(f"The shipped classifier knows MNIST only; in its place one was trained for {epochs} epochs.")
    return model


def _epochs(digits: Digits, batch_size: int, steps: int) -> float:
    return steps / math.ceil(len(digits) / batch_size)
