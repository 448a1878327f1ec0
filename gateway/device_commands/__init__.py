"""What devices are told to do once: docs/decisions/0019-configuration-and-commands.md."""
