"""How another machine is reached: who it is, who we are there, one connection for all that is asked of it; files over it."""
