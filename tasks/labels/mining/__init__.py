"""What is worth labelling next: strategies from a name to parameters and a function, over pools of a million pictures.

`registry.mine` is the door. Scores come from tables of boxes in batches and from vectors row by row, which may lie in
files; what is held in memory is a few numbers a picture.
"""
