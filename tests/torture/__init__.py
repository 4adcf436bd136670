"""The torture: real managers over real productions, killed, stopped and starved wherever that could hurt.

``python -m tests.torture --kills 200 --runs 500 --seed 1`` does it by hand and prints what was hit and what came of it.
"""
