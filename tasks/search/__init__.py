"""The search for better parameters: its space as data, its study on disk, one trial of it."""
