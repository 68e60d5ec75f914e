"""The embedded data: circuits and players simulated here, independently of `diffapf`; see README.md.

A model must never be trained on data that it made itself, so nothing in this package imports the library.
"""
