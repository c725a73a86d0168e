"""What holds for every test."""

from hypothesis import settings

# How long one example takes depends on who else is using the machine; what a test finds must not.
settings.register_profile("default", deadline=None)
settings.load_profile("default")
