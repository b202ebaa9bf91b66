"""Poor man's configurator: `python char_gpt.py --max_iters=10` overrides the globals of the script."""

import sys
from ast import literal_eval

for arg in sys.argv[1:]:
    assert arg.startswith("--")
    key, val = arg[2:].split("=")
    if key not in globals():
        raise ValueError(f"Unknown config key: {key}")
    try:
        attempt = literal_eval(val)
    except (SyntaxError, ValueError):
        attempt = val
    assert type(attempt) is type(globals()[key])
    print(f"Overriding: {key} = {attempt}")
    globals()[key] = attempt
