"""Brings a CSV file of devices in."""
