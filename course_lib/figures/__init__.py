"""The figures of the chapters: one file per chapter and one function per figure.

A chapter shows its computations and then draws each figure with a single call to a function in this
package, which defines the layout of the axes. Figures that are used in several chapters are in
`course_lib.plots`.
"""
