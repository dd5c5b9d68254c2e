"""Annotation formats: what each looks like in a folder, and how it is read."""
