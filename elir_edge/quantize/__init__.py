"""int8 and half precision: calibration, rounding, tuning, and a quantizer for each format."""
