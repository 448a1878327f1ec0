"""The project's own small certificate authority: certificates of devices and of the broker."""
