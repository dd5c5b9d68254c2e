"""Label Studio as a desk: a project a job, its pictures with pre-annotations, and people's answers.

Everything is looked up by our own ids before it is made, so that a kill on either side at any moment loses nothing and
leaves nothing twice.
"""
