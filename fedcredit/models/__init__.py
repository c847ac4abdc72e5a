"""Model families: pure functions on frozen state behind one protocol."""
