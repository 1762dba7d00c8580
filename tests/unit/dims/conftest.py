"""Property tests here have no deadline a case: the first use of a form fills its caches."""

from hypothesis import settings

settings.register_profile("dims", deadline=None, max_examples=4000)
settings.load_profile("dims")
