"""Where a version comes from, read back from the store, DVC's locks and its cache."""
