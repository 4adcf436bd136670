"""One exam a seam: what every implementation has to pass, whoever wrote it."""
