"""run_production: carries every run of an experiment through its programs, in numbered versions.

Read it as a run walks: ``cli`` wires the neighbours together, ``manager`` goes round, ``steps`` move the
runs, ``catalogue`` remembers. ``docs/glossary.md`` has the words.
"""

__version__ = "0.1.0"
