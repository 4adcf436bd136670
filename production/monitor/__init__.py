"""Looking on, never touching. Empty until the dashboard moves in."""
