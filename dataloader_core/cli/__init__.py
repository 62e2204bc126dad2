"""The command line: ``dataloader``."""
