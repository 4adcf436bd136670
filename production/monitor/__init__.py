"""Looking on, never touching."""
