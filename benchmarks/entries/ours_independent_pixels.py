"""The course's recipe "four_minutes", in which the pixels are independent given z.

Therefore, z alone must explain an image.
"""

from course_lib.recipes import RECIPES
from course_lib.recipes import train as train_recipe

NAME = "ours, pixels independent given z"


def train(digits, seed, checkpoint):
    def evaluate(model):
        checkpoint(model)
        return {}

    train_recipe(RECIPES["four_minutes"], digits, seed, evaluate=evaluate, quiet=True)
