"""What `visionmill up` starts, and how everybody else finds it."""
