"""How a device gets a credential of its own with nothing but its product's key."""
