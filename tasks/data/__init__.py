"""The dataset table, what reads into it and what checks it."""
