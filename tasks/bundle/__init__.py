"""A folder that runs a model alone: the file, what stands around it as data, an example, checksums, a model card."""
