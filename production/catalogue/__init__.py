"""What we remember. Every question and every change of the house goes through here; nothing else survives a cycle."""
