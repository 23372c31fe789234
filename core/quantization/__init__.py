"""From a float model to a quantized variant and its exact, fast forward pass."""
