from __future__ import annotations

from hypothesis import settings

# Time is no property of these functions, and a busy machine would make it one.
settings.register_profile("without deadline", deadline=None)
settings.load_profile("without deadline")
