"""NPU compilers, one file each: ``COMPILER`` says what it takes and runs it."""
