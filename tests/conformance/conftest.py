"""The Spark session of the run, for the tests that need one."""

from tests.support.spark import spark

__all__ = ["spark"]
