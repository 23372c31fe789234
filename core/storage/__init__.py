"""Where what was computed is kept: tensors as safetensors, rows in SQLite, by the fingerprint of what decides them."""
