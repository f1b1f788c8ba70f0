"""Packages for other programs: a folder with an artifact, sources in C, C++ or Kotlin that run it, and a self-test."""
