"""How bytes come from the archive to our disk; ``steps.stage`` says which and when."""
