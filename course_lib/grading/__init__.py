"""Homework that grades itself: questions, a judge, a wall around each submission, and the engine.

`question` and `assignment` are what a homework author fills; `sandbox` and `runner` are the wall.
Nothing in here knows an answer: references, mistakes and solutions live in the keys beside each
assignment.
"""
