"""The formulas of the data loop, on columns: how sure a box is, what to label next, whose label counts, what is wrong.

Nothing here opens a picture, asks a model or writes into a dataset: tables come in and tables go out.
"""
