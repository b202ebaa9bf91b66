"""The folder that `tracker run` puts first on PYTHONPATH: Python itself imports `sitecustomize` from it."""
