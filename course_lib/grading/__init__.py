"""Automatic grading of homework: questions, the judge, the sandbox for submissions, and the engine.

`question` and `assignment` define what a homework author writes; `sandbox` and `runner` isolate
each submission. The package itself contains no answers, because reference functions, known mistakes
and model answers are kept in each assignment's keys.
"""
