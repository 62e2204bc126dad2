"""Secrets in an Azure Key Vault."""
