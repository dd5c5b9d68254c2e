"""What follows when `champion` moves: bundles for the site's targets, placed, tried, and switched to."""

from tasks.deployment.deploying import Deployed, deploy
from tasks.deployment.places import placed

__all__ = ["Deployed", "deploy", "placed"]
