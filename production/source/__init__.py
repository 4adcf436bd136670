"""Who tells us of new runs. Empty until a source other than the datasets moves in (those are `steps.intake`'s)."""
