"""Aliases, who moved them when, and the webhooks that tell of it."""
