"""Neighbours for tests: small, deterministic, able to lie."""
