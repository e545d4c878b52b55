"""The figures of the chapters: one file per chapter and one function per figure.

A chapter shows its computations and then draws each figure with one call; the layout of the axes is
defined here. Figures that are used in several chapters are in `course_lib.plots`.
"""
