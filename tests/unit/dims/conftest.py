"""Property tests here have no deadline a case: the first use of a form fills its caches."""

from hypothesis import settings

settings.register_profile("dims", deadline=None)
settings.load_profile("dims")
