"""What a step of the line does: one file a stage, and the libraries that the stages share."""
