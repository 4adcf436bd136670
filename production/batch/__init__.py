"""Who computes. In comes a submission, out come jobs and what became of them; ``steps`` decides what that means."""
