"""Training: objective, data, and the loop that makes weights for a model specification."""
