"""A `sitecustomize` of the user's: it must run once in every process, and stay what `import sitecustomize` gives."""

import sys

sys.site_was_customized = getattr(sys, "site_was_customized", 0) + 1
HERE = True
