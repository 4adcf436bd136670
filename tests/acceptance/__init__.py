"""run_production.py as a process, on real files."""
