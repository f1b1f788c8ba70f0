"""NPU compilers, one file each, with a ``Compiler`` called ``COMPILER``."""
