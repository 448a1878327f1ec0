"""How a device becomes somebody's, and somebody else's after that."""
