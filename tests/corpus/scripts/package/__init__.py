"""A training that is started with `python -m package.train`."""
