"""Claims of the paper, of a redo of its study and ours, each with a test that measured rows decide."""
