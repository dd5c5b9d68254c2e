"""The rules of a gate, one file a subject; each answers with its numbers."""
