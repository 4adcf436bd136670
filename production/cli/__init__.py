"""The door: options and settings come in, are checked, and become a site. The only room that names concrete back-ends."""
