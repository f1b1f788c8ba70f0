"""Folders ready to drop into other people's programs: an artifact, sources that run it, and a test of itself."""
