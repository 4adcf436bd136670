"""The corridor: what is done with runs in each state.

A step asks the catalogue for its runs, asks the world, and moves them; it keeps nothing, knows no other step, and may be killed at any line and done again.
"""
