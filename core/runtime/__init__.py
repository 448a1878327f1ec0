"""The embedded runtime: a real TimescaleDB and a real Mosquitto inside the project's folder."""
