"""Logins of the control database that need more than a connection string."""
