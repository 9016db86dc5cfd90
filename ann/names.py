"""Names that an exported file and whoever reads it agree on."""

LENGTHS = "_lengths"
"""What the name of the input ends in that holds the lengths of audio."""
