"""The figures of the chapters: one file a chapter, one function a figure.

A chapter computes in the open and then draws with one call; how its axes are laid out is read here. Figures
that several chapters share are in `course_lib.plots`.
"""
