"""The demo's own programs: reading MIDAS files, fitting, drawing."""
