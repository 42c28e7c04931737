"""What runs inside the sandbox: the standard library alone, nothing of this package but its neighbours."""
