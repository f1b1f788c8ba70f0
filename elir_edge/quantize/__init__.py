"""From fp32 graphs to int8 ones: ranges, biases, and the quantizers of each format."""
