"""What the script of a notebook defines in the place of IPython: text, which goes into the script as it is."""

from __future__ import annotations

STAND_INS = {
    "_os": "import os as _os\n",
    "_here": '''
def _here(path):
    """A place in the project, wherever it lies now."""
    return _os.path.normpath(_os.path.join(_os.path.dirname(_os.path.abspath(__file__)), path))
''',
    "_write_file": '''
def _write_file(path, text, mode):
    """What %%writefile does."""
    with open(_os.path.expanduser(path), mode, encoding="utf-8") as file:
        file.write(text)
''',
    "_run_file": '''
def _run_file(path, arguments, names):
    """What %run does: the names of the script are the notebook's afterwards."""
    import sys

    before, sys.argv = sys.argv, [path, *arguments]
    folder = _os.path.dirname(path)
    sys.path.insert(0, folder)
    try:
        with open(path, encoding="utf-8") as file:
            exec(compile(file.read(), path, "exec"), names)
    except SystemExit:
        pass
    finally:
        sys.argv = before
        if folder in sys.path:
            sys.path.remove(folder)
    globals().update({name: value for name, value in names.items() if not name.startswith("__")})
''',
    "_run_module": '''
def _run_module(name, arguments):
    """What %run -m does."""
    import runpy
    import sys

    before, sys.argv = sys.argv, [name, *arguments]
    try:
        found = runpy.run_module(name, run_name="__main__", alter_sys=True)
    except SystemExit:
        return
    finally:
        sys.argv = before
    globals().update({key: value for key, value in found.items() if not key.startswith("__")})
''',
}
"""By name, in the order in which they have to stand; a script has those that its cells call."""

DISPLAY = '''
class _Shown:
    """What display() gives: a script has no place where something is shown, and changed later."""

    def update(self, *objects, **options):
        pass

    display = update


def display(*objects, **options):
    return _Shown()
'''
GET_IPYTHON = """
def get_ipython():
    return None
"""
