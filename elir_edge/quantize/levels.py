"""The symmetric grid of int8 weights: its steps per side.

Some runtimes multiply uint8 activations by int8 weights. x86-64 processors without VNNI add two such products in 16
bits and saturate: 2 x 255 x 127 does not fit there, 2 x 255 x 63 does. Artifacts for those runtimes have 63 steps, so
that they give the same picture on every processor.
"""

LEVELS = 127
LEVELS_WITHOUT_VNNI = 63
