"""Labelling jobs: which pictures are with whom, how far they are, and what came back as a dataset version.

A job knows its pictures by their digests. A desk hands them to people and brings their answers back: Label Studio, or
files of a format that another tool reads. What comes back becomes labels in one place, `back.py`, whatever the desk.
"""
