"""What the closing block says."""

import io

from tracker.report.terminal import Terminal


def closed(**state):
    stream = io.StringIO()
    Terminal("demo", stream=stream).closing("a" * 32, "FINISHED", {"suspicious": "false"}, {"finished": True, **state})
    return stream.getvalue()


def test_what_a_restore_would_lack_is_said_while_it_can_be_mended():
    gaps = [{"what": f"file {n} was not stored", "fix": "Ignore it.", "blocking": True} for n in range(5)]

    said = closed(reproducible="false", grade="R1", missing=gaps)

    assert "not reproducible: file 0 was not stored. Ignore it.\n" in said
    assert "file 2" in said
    assert "file 3" not in said
    assert "and 2 gaps more" in said


def test_nothing_is_said_of_gaps_where_there_are_none():
    said = closed(reproducible="true", grade="R2", missing=[])

    assert "not reproducible" not in said
    assert "reproducible=true  grade=R2" in said
