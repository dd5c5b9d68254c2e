"""Models that answer over HTTP: a front that costs little, and a process for each model while it is asked."""
