"""The pure core: control law, predictors, energy attribution and the fold over the event log.

Nothing here does I/O, reads a clock or the environment, or uses a global random generator.
"""
