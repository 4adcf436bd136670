"""A whole production on one machine, with programs as users have them: ``python -m demo``."""
