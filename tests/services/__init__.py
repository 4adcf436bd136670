"""Brings up the real thing, on loopback, for as long as a test wants it."""
