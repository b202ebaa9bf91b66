"""Code that came from no file becomes a script that does the same; what it does not do is named."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path, PurePath

import pytest
from IPython.core.inputtransformer2 import TransformerManager

from tracker.capture import cells, seedings
from tracker.capture.cellscript import as_script, keep_script
from tracker.capture.code import capture_code
from tracker.reproduce.restore import restore_code

ROOT = Path(__file__).parents[2]
KEY = "sk-proj-" + "Ab3dE9xQ7zL2mN8pR4sT6vW1yU5kJ0hG"


def rows(*sources, errors=None):
    """Cells as a notebook would tell of them; `errors` are exceptions by the number of the cell."""
    transform = TransformerManager().transform_cell
    return [
        {"number": number, "source": transform(source), "error": (errors or {}).get(number, "")}
        for number, source in enumerate(sources, 1)
    ]


def converted(cell):
    """A cell as it stands in the script, without what is put before and behind it, and the notes on it."""
    script = as_script(rows(cell, "done = True"), root=PurePath("/p/root"), start=PurePath("/p/root/books"))
    compile(script.text, "script", "exec")
    return script.text.partition("# %% [1]\n")[2].partition("\n\n# %% [2]")[0], script.notes


def execute(folder, script, *arguments):
    """Runs a script in a Python without IPython's additions; returns what it printed."""
    path = folder / "script.py"
    path.write_text(script.text, encoding="utf-8")
    done = subprocess.run([sys.executable, str(path), *arguments], cwd=folder, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    return done.stdout


# -- what a process knows of its code ----------------------------------------------------------------------------------


SHELL = """
import json
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
for cell in ["x = 1", "x = 1", "raise KeyError(x)", "", "%pwd", "for", "import os; os.chdir('/')", LOOK]:
    shell.run_cell(cell, store_history=True)
print("told:" + json.dumps(shell.user_ns["told"]))
"""
LOOK = """
from tracker.capture import cells, seedings
from tracker.capture.environment import capture_process
process = capture_process()
told = [cells.typed("notebook"), process.facts["entry"]["form"], [gap.what for gap in process.gaps], cells.unnamed()]
"""


def test_a_shell_tells_its_cells_in_order_with_the_errors_that_ended_them(tmp_path):
    (tmp_path / "driver.py").write_text(f"LOOK = {LOOK!r}\n{SHELL}")
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "IPYTHONDIR": str(tmp_path / "ipython")}
    done = subprocess.run(
        [sys.executable, "driver.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    line = next(line for line in done.stdout.splitlines() if line.startswith("told:"))
    told, form, gaps, name = json.loads(line.removeprefix("told:"))

    assert (form, name) == ("notebook", "notebook")
    assert not any("came from" in gap for gap in gaps)
    assert told["folder"] == str(tmp_path)
    assert [row["error"] for row in told["cells"]] == ["", "", "KeyError", "", "SyntaxError", "", ""]
    numbers = [row["number"] for row in told["cells"]]
    assert numbers == sorted(set(numbers))
    assert told["cells"][3]["source"].strip() == "get_ipython().run_line_magic('pwd', '')"
    assert told["cells"][-1]["source"].strip() == LOOK.strip()


@pytest.mark.parametrize(
    ("words", "source"),
    [
        (["python", "-c", "print(1)", "-c", "no"], "print(1)"),
        (["python", "-uc", "print(1)"], "print(1)"),
        (["python", "-X", "dev", "-W", "error", "-c", "print(1)"], "print(1)"),
        (["python", "-Xdev", "-Werror", "--check-hash-based-pycs", "always", "-cprint(1)"], "print(1)"),
        (["python", "-m", "package", "-c", "x"], None),
        (["python", "train.py", "-c", "x"], None),
        (["python", "-", "-c", "x"], None),
        (["python", "-c", "from multiprocessing.spawn import spawn_main", "--multiprocessing-fork"], None),
    ],
)
def test_the_text_behind_c_is_told_from_options_and_arguments(words, source, monkeypatch):
    monkeypatch.setattr(sys, "orig_argv", words)
    told = cells.typed("command")

    assert (told and told["cells"][0]["source"]) == source


def test_a_script_on_standard_input_is_known_where_it_is_a_file_and_its_position_stays(tmp_path):
    text = (
        "import os\nfrom tracker.capture import cells\nbefore = {position}\ntold = cells.typed('stdin')\n"
        "print([told['cells'][0]['source'], {position} == before] if told else None)\n"
    )
    in_file = text.replace("{position}", "os.lseek(0, 0, 1)")
    (tmp_path / "code.txt").write_text(in_file)
    command, environment = [sys.executable, "-"], {"PYTHONPATH": str(ROOT)}
    with (tmp_path / "code.txt").open() as file:
        from_file = subprocess.run(command, stdin=file, env=environment, capture_output=True, text=True, check=True)
    piped = text.replace("{position}", "0")
    from_pipe = subprocess.run(command, input=piped, env=environment, capture_output=True, text=True, check=True)

    assert from_file.stdout.strip() == repr([in_file, True])
    assert from_pipe.stdout.strip() == "None"


# -- cells as a script -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("%matplotlib inline", "pass  # %matplotlib inline"),
        ("if 1:\n    %config A.b = 3\n", "if 1:\n    pass  # %config A.b = 3"),
        ("%%time\nx = '日本'; y = 3", "# (%%time)\nx = '日本'; y = 3"),
        ("%%capture\n%time x = f(1)", "# (%%capture)\nx = f(1)"),
        ("'日本'\ny = %time 3 + 4", "'日本'\ny = (3 + 4)"),
        ("%cd data", "_os.chdir(_os.path.expanduser('data'))"),
        ("%cd /p/root/data", "_os.chdir(_os.path.expanduser(_here('../data')))"),
        ("%cd /elsewhere", "_os.chdir(_os.path.expanduser('/elsewhere'))"),
        ("%env A=b c", "_os.environ['A'] = 'b c'"),
        ("%set_env A 3", "_os.environ['A'] = '3'"),
        ("x = %env A", "x = _os.environ.get('A')"),
        ("x = %pwd", "x = _os.getcwd()"),
        ("%aimport a.b, c", "import a.b, c"),
        ("%run -m a.b --x 1", "_run_module('a.b', ['--x', '1'])"),
        ("torch?", "pass  # %pinfo torch"),
        ("%%html\n<b>x</b>", "pass  # %%html\n# <b>x</b>"),
        ("plot(x);", "plot(x);"),
        ("'google.colab' in str(get_ipython().__class__)", "'google.colab' in str(get_ipython().__class__)"),
    ],
)
def test_commands_of_ipython_become_python_without_a_gap(cell, text):
    found, notes = converted(cell)

    assert (found, notes) == (text, [])


@pytest.mark.parametrize(
    ("cell", "what", "blocking"),
    [
        ("!pip install x", "!pip install x, which installs packages, is not repeated", False),
        ("%pip install x", "%pip install x, which installs packages, is not repeated", False),
        ("!wget http://a.b/c", "!wget http://a.b/c, a command of the shell, is not repeated", False),
        ("x = !ls", "!ls, a command of the shell, is not repeated", True),
        ("%%bash\nls", "%%bash, a command of IPython, is not repeated", False),
        ("%%timeit\nf()", "%%timeit, a command of IPython, is not repeated", False),
        ("%%cython\ncdef int x", "%%cython, a command of IPython, is not repeated", True),
        ("%mine 3", "%mine 3, a command of IPython, is not repeated", False),
        ("x = %mine 3", "%mine 3, a command of IPython, is not repeated", True),
        ("%store -r x", "%store -r x, a command of IPython, is not repeated", True),
        ("%run {name}.py", "%run {name}.py, a command of IPython, is not repeated", True),
        ("%run other.ipynb", "%run other.ipynb, a command of IPython, is not repeated", True),
        ("get_ipython().kernel.stop()", "get_ipython().kernel, a command of IPython, is not repeated", True),
        ("x = await f()", "cannot be part of a script: 'await' outside function", True),
        ("%%capture out\nf()", "%%capture out keeps what was printed, which a script does not", True),
    ],
)
def test_what_a_script_does_not_do_is_left_out_and_named(cell, what, blocking):
    _, notes = converted(cell)

    assert [(what in note.what, "cell [1]" in note.what, note.blocking) for note in notes] == [(True, True, blocking)]


def test_what_cells_showed_is_no_name_of_a_script_and_a_loop_over_underscores_is():
    looped = as_script(rows("for _ in range(3): print(_)"))
    shown = as_script(rows("3 + 4", "_ + Out[1] + _1"))

    assert looped.notes == []
    assert [(note.what, note.blocking) for note in shown.notes] == [
        ("Out, _, _1 is what a cell showed, which a script does not keep", True)
    ]


def test_cells_run_twice_stay_twice_and_those_that_failed_go_as_far_as_they_went(tmp_path):
    script = as_script(
        rows(
            "total = []",
            "total.append(1)",
            "total.append(1)",
            "total.append('''a\n  b\n''')\n\nif total:\n    total.append(f'''{3\n    }\n c''')\nraise KeyError",
            "for",
            "if",
            "total.append(6); from __future__ import annotations; total.append(7)",
            "def f(x: Unknown): pass\nprint(total)",
            errors={4: "KeyError", 5: "SyntaxError", 6: "SyntaxError"},
        )
    )

    assert execute(tmp_path, script) == f"{[1, 1, 'a' + chr(10) + '  b' + chr(10), '3' + chr(10) + ' c', 6, 7]}\n"
    assert [(note.what, note.blocking) for note in script.notes] == [
        ("cell [4] failed with KeyError: it is repeated as far as it goes", False)
    ]


def test_an_interrupted_cell_is_a_gap_that_stops_the_claim_and_the_last_cell_is_never_guarded():
    script = as_script(rows("train()", "train()", errors={1: "KeyboardInterrupt", 2: "ValueError"}))

    assert [note.blocking for note in script.notes] == [True]
    assert "KeyboardInterrupt" in script.notes[0].what
    assert script.text.endswith("# %% [2]\ntrain()\n")


def test_where_ipython_does_not_tell_of_errors_every_cell_but_the_last_may_fail(tmp_path):
    told = [{**row, "error": None} for row in rows("x = 1\nraise KeyError", "print(x)")]
    script = as_script(told)

    assert execute(tmp_path, script) == "1\n"
    assert script.notes == []


def test_files_that_cells_write_and_run_are_written_and_run(tmp_path):
    script = as_script(
        rows(
            "%%writefile part.py\nimport sys\ny = x = 3\nprint(sys.argv[1:], '\\n'.strip())\n",
            "%run part.py --a 'b c'",
            "%%writefile -a part.py\ny = y + len(sys.argv)",
            "x = 5\n%run -i part",
            "print(x, y)",
            "display(x); print(get_ipython(), display(x, display_id=True).update(x))",
        )
    )

    assert script.notes == []
    assert execute(tmp_path, script) == "['--a', 'b c'] \n[] \n3 4\nNone None\n"


def test_a_notebook_that_moved_begins_in_its_own_folder_and_imports_follow_it(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "near.py").write_text("where = 'inner'\n")
    told = rows("%cd inner", "import near, os\nprint(near.where, os.path.basename(os.getcwd()))")
    script = as_script(told, root=tmp_path, start=tmp_path, moved=True)

    assert execute(tmp_path, script) == "inner inner\n"


def test_a_notebook_that_began_outside_of_the_project_begins_inside(tmp_path):
    told = rows("%cd project", "%cd /content/project/inner", "import os\nprint(os.path.basename(os.getcwd()))")
    (tmp_path / "inner").mkdir()
    project = PurePath("/content/project")
    script = as_script(told, root=project, start=project, is_inside=False)

    assert execute(tmp_path, script) == "inner\n"
    assert [(note.what, note.blocking) for note in script.notes] == [
        ("%cd project led from outside into the project, where the script begins", False)
    ]


def test_a_notebook_with_figures_opens_no_window(tmp_path):
    script = as_script(rows("matplotlib = None", "import os\nprint(os.environ['MPLBACKEND'])"))

    assert execute(tmp_path, script) == "Agg\n"


# -- kept with the run, and put back -----------------------------------------------------------------------------------


def kept(project, into, *sources, start=""):
    capture_code(project, into, cwd=project)
    typed = {"from": "notebook", "folder": str(project / start), "cells": rows(*sources)}
    return keep_script(into, typed, "0123456789abcdef" * 2, project, project)


def test_the_script_comes_back_with_the_project_and_the_code_keeps_its_identity(tmp_path):
    project = tmp_path / "project"
    (project / "books").mkdir(parents=True)
    (project / "near.py").write_text("x = 1\n")
    found = kept(project, tmp_path / "capture", "import near", "print(near.x)", start="books")
    again = kept(project, tmp_path / "capture", "import near", "print(near.x)", start="books")

    restored = restore_code(tmp_path / "capture", tmp_path / "again")
    path = restored.root / "books" / "notebook_01234567.py"

    assert found.facts == again.facts == {"entry": "books/notebook_01234567.py", "entry_from": "notebook"}
    assert found.gaps == []
    assert (restored.matches, restored.problems) == (True, [])
    assert path.read_text() == (tmp_path / "capture" / "notebook.py").read_text()
    assert cells.script_of(found.facts) == found.facts["entry"]


def test_what_the_archive_had_before_stays_in_it(tmp_path):
    (tmp_path / "capture").mkdir()
    with zipfile.ZipFile(tmp_path / "capture" / "inputs.zip", "w") as archive:
        archive.writestr("data.bin", b"\0\1")
    typed = {"from": "command", "folder": None, "cells": [{"number": 1, "source": "print(1)", "error": ""}]}
    keep_script(tmp_path / "capture", typed, "0" * 32, tmp_path, tmp_path)
    with zipfile.ZipFile(tmp_path / "capture" / "inputs.zip") as archive:
        found = {name: archive.read(name) for name in archive.namelist()}

    assert found == {"command_00000000.py": b"print(1)", "data.bin": b"\0\1"}


def test_a_notebook_that_shows_a_secret_is_not_stored_and_says_so(tmp_path):
    (tmp_path / "project").mkdir()
    found = kept(tmp_path / "project", tmp_path / "capture", "x = 1", f"%env OPENAI_API_KEY={KEY}")
    stored = [path for path in (tmp_path / "capture").rglob("*") if path.is_file()]

    assert found.facts == {}
    assert [("shows a secret" in gap.what, gap.blocking) for gap in found.gaps] == [(True, True)]
    assert (tmp_path / "capture" / "redacted" / "notebook.txt") in stored
    assert not any(KEY.encode() in path.read_bytes() for path in stored)


@pytest.mark.parametrize(
    "path",
    ["/tmp/notebook_01234567.py", "../notebook_01234567.py", "a/../notebook_01234567.py", "train.py", "notebook_x.py",
     "a//notebook_01234567.py", "notebook_01234567.py\n", 3, None],
)  # fmt: skip
def test_a_stored_path_that_is_none_of_ours_is_no_script(path):
    assert cells.script_of({"entry": path}) is None


def test_seeds_that_a_notebook_took_by_itself_are_given_again_to_its_script_in_their_order():
    in_a_cell = compile("asked = asked_by(__import__('sys')._getframe())", "/tmp/ipykernel_17/3.py", "exec")
    names = {"__name__": "__main__", "asked_by": seedings.asked_by}
    exec(in_a_cell, names)
    original, again = seedings.Seedings(), seedings.Seedings()
    for number in (5, 6, 7):
        original.note("numpy.random.seed", names["asked"], str(number))
    again.give_again(original.as_json())
    places = ("__main__:40", "__main__:3", "module:3", "__main__:40", "__main__:41")
    given = [again.stored("numpy.random.seed", line) for line in places]

    assert given == ["5", "6", None, "7", None]
