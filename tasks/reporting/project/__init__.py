"""Pages about versions: where one comes from, and how a workspace's versions went over time."""
