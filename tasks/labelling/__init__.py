"""The data loop: teachers label, people correct, what they say becomes versions of the store."""
