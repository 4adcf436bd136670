"""What ``production doctor`` looks at: a function a check. ``rounds`` calls them in turn, ``finding`` is what they say."""
