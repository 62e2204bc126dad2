"""Bad input where Spark loads, item by item: the same kind of map as that of this package."""
