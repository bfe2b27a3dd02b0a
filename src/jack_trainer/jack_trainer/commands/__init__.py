"""The commands of ./jack, a file each. What takes long to load is loaded by the command that needs it."""
