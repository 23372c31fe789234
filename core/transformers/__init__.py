"""The transformers that stand in the same comparison: bases, fine-tuning, and the methods that quantize them."""
