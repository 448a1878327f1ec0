"""Desired and reported configuration of devices: docs/decisions/0019-configuration-and-commands.md."""
