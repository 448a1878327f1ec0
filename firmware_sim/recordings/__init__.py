"""Readers of public recordings: what a device measured, as given, with labels kept apart."""

from firmware_sim.recordings.skab import PRODUCT, Recording, read_recording, read_recordings

__all__ = ["PRODUCT", "Recording", "read_recording", "read_recordings"]
