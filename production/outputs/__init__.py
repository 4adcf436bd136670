"""Whether what a job wrote is there, whole and plausible. Off the loop; ``steps.finish`` asks and decides."""
