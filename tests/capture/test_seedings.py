"""What generators began with: noted without a change, given again in a re-run, in this process and in its children."""

import ast
import inspect
import json
import os
import random
import secrets
import subprocess
import sys
import textwrap
import warnings

import numpy as np
import pytest
import torch

from tracker.capture import entropy
from tracker.capture.randomness import overflow_gaps, own_generator_gap, seeding_gaps
from tracker.capture.seedings import (
    CHILD_FILE,
    DRAWN,
    ENTROPY,
    FRESH,
    GENERATOR,
    MOST,
    MOST_GIVEN_BY_LINE,
    OVERFLOW,
    Seedings,
    as_text,
    children_notes,
    from_text,
    seedings,
)

ALONE = """
import sys
sys.path.insert(0, {root!r})
import tracker
from tracker.capture.seedings import children_notes, seedings
import json, os, random, secrets, threading, time
import numpy as np
folder = sys.argv[1]
seedings.report_to(folder)
numbers = {{}}
{body}
notes, left_out = children_notes([folder])
print(json.dumps([numbers, {{"seedings": seedings.as_json(), "in_children": notes}}]))
"""

ONE_PROCESS = """
numbers["random.Random()"] = random.Random().random()
numbers["its normal numbers"] = [random.Random().gauss(0, 1) for _ in range(3)]
random.seed(); numbers["random.seed()"] = random.random()
random.seed(None); numbers["random.seed(None)"] = random.random()
random.seed(os.urandom(8)); numbers["random.seed(bytes)"] = random.random()
random.seed(time.time_ns()); numbers["random.seed(clock)"] = random.random()
random.seed(time.time()); numbers["random.seed(float)"] = random.random()
random.seed(secrets.randbits(64)); numbers["random.seed(secrets)"] = random.random()
numbers["random.Random(clock)"] = random.Random(time.time_ns()).random()
numbers["default_rng()"] = np.random.default_rng().random()
numbers["default_rng(clock)"] = np.random.default_rng(time.time_ns()).random()
numbers["RandomState()"] = np.random.RandomState().rand()
numbers["SeedSequence().spawn"] = [np.random.default_rng(one).random() for one in np.random.SeedSequence().spawn(2)]
sequence = np.random.SeedSequence(time.time_ns())
numbers["SeedSequence(clock).spawn"] = np.random.default_rng(sequence.spawn(2)[1]).random()
np.random.seed(); numbers["np.random.seed()"] = np.random.rand()
np.random.seed(None); numbers["np.random.seed(None)"] = np.random.rand()
np.random.seed(time.time_ns() % 2**32); numbers["np.random.seed(clock)"] = np.random.rand()
drawn = {}
def draw(name):
    drawn[name] = [(time.sleep(0.001), np.random.default_rng().random())[1] for _ in range(3)]
threads = [threading.Thread(target=draw, args=(i,), name=f"t{i}") for i in range(3)]
[one.start() for one in threads]; [one.join() for one in threads]
numbers["in threads"] = [drawn[i] for i in range(3)]
"""

CHILDREN = """
import multiprocessing
def work(queue, i):
    queue.put((i, random.random(), random.Random().random(), np.random.default_rng().random(), np.random.rand()))
for _ in range(2):
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    children = [context.Process(target=work, args=(queue, i)) for i in range(2)]
    [child.start() for child in children]
    numbers.setdefault("children", []).append(sorted(queue.get() for _ in children))
    [child.join() for child in children]
"""


def alone(root, folder, body, again=None):
    """Numbers that a process of its own draws, and its notes; in a re-run, `again` are the notes of the original."""
    folder.mkdir()
    environment = dict(os.environ)
    if again is not None:
        plan = folder / "plan.json"
        plan.write_text(json.dumps({"of": "x", "index": 0, "randomness": again}))
        environment["TRACKER_REPRODUCE"] = str(plan)
    code = textwrap.dedent(ALONE).format(root=str(root), body=body)
    command = [sys.executable, "-c", code, str(folder / "children")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return *json.loads(done.stdout), done.stderr


@pytest.fixture
def notes():
    """The notes of this process, which may be given some of an original; forgotten afterwards."""
    kept = seedings._found, seedings._counts, seedings._told
    seedings._found, seedings._counts, seedings._told = {}, {}, 0
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    yield seedings
    seedings._found, seedings._counts, seedings._told = kept
    seedings.give_again({})
    seedings._folder = None
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.set_rng_state(states[2])


def test_whatever_is_not_seeded_or_seeded_by_what_changes_is_the_same_in_a_re_run(root, tmp_path):
    first, stored, _ = alone(root, tmp_path / "one", ONE_PROCESS)
    other, _, _ = alone(root, tmp_path / "two", ONE_PROCESS)
    again, stored_again, said = alone(root, tmp_path / "again", ONE_PROCESS, stored)

    assert [name for name in first if first[name] == other[name]] == []
    assert again == first
    assert stored_again == stored
    assert len([line for line in said.splitlines() if "the original's seed" in line]) == 5  # the first few are enough


def test_what_children_draw_without_a_seed_is_the_same_in_a_re_run(root, tmp_path):
    first, stored, _ = alone(root, tmp_path / "one", CHILDREN)
    other, _, _ = alone(root, tmp_path / "two", CHILDREN)
    again, _, _ = alone(root, tmp_path / "again", CHILDREN, stored)

    assert sorted(stored["in_children"]) == [f"ForkProcess-{number}" for number in range(1, 5)]
    assert other != first
    # Not numpy's global generator: a child has that of its parent, whose state is restored with the parent's.
    assert [[row[:4] for row in part] for part in again["children"]] == [
        [row[:4] for row in part] for part in first["children"]
    ]


def test_what_is_noted_changes_no_number_and_no_state(root, tmp_path):
    body = """
random.seed(3); np.random.seed(4); own = random.Random(5); rng = np.random.default_rng(6)
numbers["all"] = [random.random(), np.random.rand(), own.random(), rng.random(), random.Random("a").random(),
                  random.Random(b"a").random(), random.Random(1.5).random(), np.random.SeedSequence(7).entropy]
"""
    bare = textwrap.dedent(body) + "print(json.dumps(numbers))"
    command = [sys.executable, "-c", f"import json, random\nimport numpy as np\nnumbers = {{}}\n{bare}"]
    without = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert alone(root, tmp_path / "one", body)[0] == without


def test_the_functions_look_as_they_do_without_us(root):
    told = "[str(inspect.signature(f)) for f in found], [(f.__module__, f.__qualname__, f.__doc__) for f in found]"
    code = f"""
import inspect, random
import numpy as np
found = [random.Random.seed, random.seed, np.random.seed, random.SystemRandom.random]
found[:] = [f for f in found if f is not np.random.seed] + [np.random.seed]
print({told.replace("[str(inspect.signature(f)) for f in found]", "[str(inspect.signature(f)) for f in found[:-1]]")})
"""

    def shown(first):
        command = [sys.executable, "-c", first + code]
        return subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout

    assert shown("import tracker\n") == shown("")


def test_torchs_own_functions_stay_what_torchscript_and_pickle_know(notes):
    def seeded(x):
        torch.manual_seed(5)
        return x + torch.rand(1)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first = torch.jit.script(seeded)(torch.zeros(1))
    torch.manual_seed(5)

    assert torch.equal(first, torch.rand(1))
    assert list(inspect.signature(torch.manual_seed).parameters) == ["seed"]
    assert isinstance(torch.manual_seed(7), torch.Generator)
    with pytest.raises(ValueError, match="invalid literal"):
        torch.manual_seed("x")


def test_torchs_own_functions_can_be_pickled_where_torch_allows_it(root):
    # In a process of its own: once torch.compile has been loaded, torch wraps some of them itself.
    code = """
        import pickle, tracker, torch
        for function in (torch.manual_seed, torch.seed, torch.cuda.manual_seed_all):
            assert pickle.loads(pickle.dumps(function)) is function
        print(torch.seed.__module__)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)

    assert (done.returncode, done.stdout) == (0, "torch.random\n"), done.stderr


def test_a_seed_of_torch_is_noted_once_with_the_line_that_gave_it(notes):
    line = inspect.currentframe().f_lineno + 1
    torch.manual_seed(11)

    assert notes.as_json() == {"torch.manual_seed": {f"{__name__}:{line}": ["11"]}}


def test_the_seeds_that_torch_draws_or_is_given_by_the_clock_are_those_of_the_original(notes, capsys):
    def numbers():
        found = []
        for seed in (None, random.getrandbits(60)):
            torch.seed() if seed is None else torch.manual_seed(seed)
            found += [torch.initial_seed(), torch.rand(3).tolist()]
        return found

    first, stored = numbers(), json.loads(json.dumps(notes.as_json()))
    other = numbers()
    notes.give_again(stored)
    again = numbers()

    assert (other[0] != first[0], other[2] != first[2]) == (True, True)
    assert again == first
    assert f"the original's seed {first[2]} is used" in capsys.readouterr().err
    assert set(stored) == {DRAWN, "torch.manual_seed"}


@pytest.mark.parametrize("drawn", [0, 3])
def test_the_generator_of_a_loader_is_as_it_was_when_it_was_first_used(notes, drawn, capsys):
    def order():
        generator = torch.Generator()
        generator.seed()
        torch.rand(drawn, generator=generator)
        loader = torch.utils.data.DataLoader(list(range(30)), batch_size=30, shuffle=True, generator=generator)
        return [batch.tolist() for _ in range(2) for batch in loader]

    first, stored = order(), json.loads(json.dumps(notes.as_json()))
    other = order()
    notes.give_again(stored)

    assert other != first
    assert order() == first
    assert "the generator of the loader" in capsys.readouterr().err
    assert next(iter(stored[GENERATOR].values()))[0].startswith("state:" if drawn else "seed:")


def test_a_seed_that_is_the_same_again_is_passed_on_in_silence(notes, capsys):
    def number():
        random.seed(3)
        torch.manual_seed(4)
        return random.random(), torch.rand(1).item()

    first = number()
    notes.give_again(json.loads(json.dumps(notes.as_json())))

    assert number() == first
    assert capsys.readouterr().err == ""


def test_a_text_is_kept_as_a_digest_only_and_told_when_it_is_another(notes, capsys):
    def seed(text):
        random.seed(text)
        return random.random()

    seed("my secret")
    stored = json.loads(json.dumps(notes.as_json()))
    notes.give_again(stored)
    number = seed("another")
    notes.give_again({})

    assert "secret" not in json.dumps(stored)
    assert "is given another text" in capsys.readouterr().err
    assert number == seed("another")


@pytest.mark.parametrize(
    "stored",
    [
        None,
        [],
        {"numpy.entropy": 3},
        {ENTROPY: {"": "x"}, FRESH: [1]},
        {ENTROPY: {"": ["", "128", "128:x", f"128:{1 << 200}", "128:-1", "64:5", 7, None]}},
        {FRESH: {"": ["", "!!!", "AAAA", "é"]}, DRAWN: {"": ["x", "-1", "9" * 500, "1.5"]}},
        {GENERATOR: {"": ["seed:x", "state:AAAA", "other", "seed:-1"]}, "random.seed": {"": ["9" * 5000, "inf", "["]}},
    ],
)
def test_what_is_stored_but_cannot_be_read_stops_nothing(notes, stored):
    notes.give_again(stored, stored)
    for _ in range(8):
        generator = torch.Generator()
        torch.utils.data.DataLoader([1, 2], generator=generator).__iter__()
        random.seed(1)
        drawn = torch.seed(), random.Random().random(), np.random.default_rng().random()

    assert drawn[0] == torch.initial_seed()


def test_seeds_are_kept_as_numbers_of_every_kind():
    for seed in (0, -5, 1 << 100, 1.5, True, np.int64(7), np.uint32(8), 1e300, 1795246327.5250359):
        assert from_text(as_text(seed)) == seed
    assert as_text([1, 2]) is None
    assert as_text("x").startswith("text:")
    assert from_text(as_text("x")) is None
    assert from_text(as_text(1 << 5000)) is None


def test_no_more_is_kept_than_is_said_and_the_rest_is_a_gap():
    one = Seedings()
    for number in range(MOST_GIVEN_BY_LINE + 5):
        one.note("random.seed", "__main__:3", str(number))
    for _ in range(MOST[FRESH] + 2):
        one.note(FRESH, "__main__:4", "x")

    found = one.as_json()
    gaps = overflow_gaps(one.overflowed)
    assert [len(found["random.seed"]["__main__:3"]), len(found[FRESH]["__main__:4"])] == [100, 250]
    assert one.overflowed == {"random.seed": 5, FRESH: 2}
    assert [(gap.blocking, "random.Random()" in gap.what) for gap in gaps] == [(True, True)]


def test_a_generator_that_can_begin_the_same_way_again_is_no_gap(notes):
    known = random.Random()
    unknown = random.Random()
    unknown.setstate(known.getstate())
    entropy_of_its_own = [0x80000000, *(random.Random(1).getstate()[1][1:-1]), 624]
    unknown.setstate((3, tuple(entropy_of_its_own), None))

    assert own_generator_gap("known", known) is None
    assert own_generator_gap("system", random.SystemRandom()).blocking


def test_what_children_left_is_read_as_far_as_it_goes(tmp_path):
    good = json.dumps(["ForkProcess-1", ENTROPY, "__main__:3", "128:5"])
    (tmp_path / f"{CHILD_FILE}1.txt").write_text(f'{good}\n["ForkProcess-1", "numpy\n[1]\n{{}}\n{good[:-4]}')
    (tmp_path / f"{CHILD_FILE}2.txt").write_text(json.dumps(["ForkProcess-2", OVERFLOW, ENTROPY, ENTROPY]) + "\n")

    found, left_out = children_notes([tmp_path, tmp_path / "none"])

    assert found["ForkProcess-1"] == {ENTROPY: {"__main__:3": ["128:5"]}}
    assert found["ForkProcess-2"] == {OVERFLOW: {ENTROPY: [ENTROPY]}}
    assert left_out == 0
    assert children_notes([tmp_path], most_bytes=10) == ({}, 2)


def test_a_fork_behind_multiprocessings_back_notes_nothing_and_uses_up_nothing(notes, tmp_path):
    line = f"{__name__}:1"
    notes.give_again({ENTROPY: {line: ["128:5"]}})
    notes.report_to(str(tmp_path))
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(writer, repr(notes.stored(ENTROPY, line)).encode())
        notes.note(ENTROPY, line, "128:6")
        os._exit(0)
    os.waitpid(pid, 0)
    seen_by_child = ast.literal_eval(os.read(reader, 100).decode())

    assert (seen_by_child, list(tmp_path.iterdir())) == (None, [])
    assert notes.stored(ENTROPY, line) == "128:5"


def test_a_state_is_packed_and_unpacked_without_a_change():
    state = random.Random(3).getstate()

    assert entropy.unpacked(entropy.packed(state)) == state


def test_lines_of_our_own_are_not_noted(notes):
    code = "import random; random.Random()"
    exec(compile(code, "x", "exec"), {"__name__": "tracker.capture.somewhere"})
    exec(compile(code, "x", "exec"), {"__name__": "tempfile"})
    exec(compile(code, "x", "exec"), {"__name__": "users.module"})

    assert list(notes.as_json()[FRESH]) == ["users.module:1"]


def test_a_number_from_the_system_is_told_unless_it_is_only_a_seed(notes):
    random.seed(secrets.randbits(64))
    only_seeds = [gap.what for gap in seeding_gaps(is_launched=True)]
    drawn = random.SystemRandom().random()
    told = seeding_gaps(is_launched=True)

    assert only_seeds == []
    assert [(__name__ in gap.what, gap.blocking) for gap in told] == [(True, False)]
    assert str(drawn) not in json.dumps(notes.as_json())
