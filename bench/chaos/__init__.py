"""`forecare chaos`: breaks everything that can break, and holds what was promised against a ledger."""
