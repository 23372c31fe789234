"""The paper's claims, each with a test that measured rows decide."""
