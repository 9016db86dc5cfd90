"""Preparation of one kind of column each: what training rows teach, and the nodes that apply it inside the graph."""

PREFIX = "ann:prepare/"
"""What the graph's own names begin with, since a column may have any other."""
COLUMN = f"{PREFIX}column"
"""The shape (N, 1), as Reshape takes it."""
