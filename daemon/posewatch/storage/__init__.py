"""The seam to the watched folder: one contract, and the real, in-memory and faulty twins of it."""
