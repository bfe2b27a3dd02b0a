"""The school that teaches Jack's brain."""

__version__ = "0.1.0"
