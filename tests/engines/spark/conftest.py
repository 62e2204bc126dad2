"""Fixtures of the Spark engine's tests: the run's session, and a source that JDBC can reach."""

from __future__ import annotations

from tests.support.spark import java, spark

__all__ = ["java", "spark"]
