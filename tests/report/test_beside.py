import pytest

from tests.report.pages import HOSTILE, Reader, hostile_source
from tests.report.test_page import KNOWN
from tracker.compare.hunks import Hunk
from tracker.compare.kinds import RecordedDifference
from tracker.compare.runs import CodeComparison, RunComparison
from tracker.compare.streams import Comparison, Difference
from tracker.report.beside import differences, numbers, verdicts
from tracker.report.beside.pair import Pair
from tracker.report.blocks import Banner, Plot, Table
from tracker.report.drawing.figures import drawing
from tracker.report.gathering.sources import Source
from tracker.report.page import pair_page
from tracker.rules.engine.records import Reading


def trained(name: str, rate: float) -> Source:
    source = Source(run_id=name, name=name, status="FINISHED", verdict={"suspicious": "false"})
    for step in range(40):
        source.gathered.take(1.0, Reading("loss", "", step, 1.0 if step < 10 else 1.0 - rate * (step - 9)))
    return source


def compared(numbers: Comparison, *found: RecordedDifference, problem: str = "") -> RunComparison:
    return RunComparison(
        a="a",
        b="b",
        code=CodeComparison({}, {}, same=None, problem=problem),
        params={},
        environment=(),
        environment_known=True,
        data_same=None,
        data=(),
        randomness={},
        numbers=numbers,
        cause=None,
        differences=found,
    )


FIRST = Difference("observed/loss", 10, 0.99, 0.98)
PARTING = Comparison(
    metrics=("observed/loss",), n_points=40, different={"observed/loss": 30}, first_difference=FIRST,
    firsts={"observed/loss": FIRST},
)  # fmt: skip


@pytest.fixture
def parting() -> Pair:
    rate = RecordedDifference("argument:lr", "argument", "argument --lr", 0.01, 0.02, score=99.0, reason="x")
    return Pair(trained("a", 0.01), trained("b", 0.02), compared(PARTING, rate))


def test_the_first_step_that_differs_is_said_and_marked(parting: Pair) -> None:
    with drawing():
        (section,) = numbers.sections(parting)
    overlaid, gap = (block for block in section.blocks if isinstance(block, Plot))
    (said,) = verdicts.sections(parting)

    banner = said.blocks[0]
    assert isinstance(banner, Banner)
    assert "observed/loss at step 10, 0.99 in A and 0.98 in B" in " ".join(banner.lines)
    assert "differ from step 10" in overlaid.svg
    assert "first difference: loss" in gap.svg
    assert "at most 0.3 apart, at step 39" in gap.says


def test_runs_of_the_same_bits_are_called_that() -> None:
    same = Pair(trained("a", 0.01), trained("b", 0.01), compared(Comparison(metrics=("x",), n_points=40)))

    (said,) = verdicts.sections(same)

    banner = said.blocks[0]
    assert isinstance(banner, Banner)
    assert (banner.word, banner.tone) == ("The same bits", "good")


def test_what_explains_the_numbers_stands_in_a_table_with_both_sides(parting: Pair) -> None:
    (section,) = differences.sections(parting)

    table = section.blocks[0]
    assert isinstance(table, Table)
    assert [str(cell) for cell in table.rows[0]][:3] == ["argument --lr", "0.01", "0.02"]


def test_no_string_of_two_runs_becomes_markup() -> None:
    h = HOSTILE
    first = Difference(h, 3, 1.0, float("nan"))
    hunk = Hunk(h, 1, 1, 1, 1, removed=(h,), added=(h,))
    found = RecordedDifference(h, "code", h, h, h, hunk=hunk, score=3.0, reason=h)
    comparison = compared(
        Comparison((h,), 4, different={h: 1}, first_difference=first, firsts={h: first}, only_in_a=(h,)),
        found,
        problem=h,
    )

    page = pair_page(Pair(hostile_source(), hostile_source(), comparison))

    read = Reader(page)
    assert "could not be drawn" not in page
    assert {tag for tag, _ in read.elements} <= KNOWN
    assert not [key for _, attributes in read.elements for key in attributes if key.startswith("on")]
    assert len(read.named("script")) == 1
