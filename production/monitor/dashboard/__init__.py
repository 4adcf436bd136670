"""The dashboard: what ``snapshot`` and ``readers`` bring becomes lines here, and urwid shows them. It changes nothing itself.

``app`` is the first room: it has the views, and hands them keys. ``keys``, ``palettes`` and ``columns`` are data.
"""
