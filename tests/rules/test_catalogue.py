"""The catalogue is generated from the rules, and the one that is stored is fresh."""

from tracker.rules import Finding, Phase, Rule, Severity
from tracker.rules.catalogue import README, catalogue, main
from tracker.rules.engine.registry import builtin_rules
from tracker.rules.engine.signals import GRAD_NORM


class QuietLayer(Rule):
    """A layer gets almost
    no gradient.

    ## Why it matters
    It does not learn.
    """

    phases = (Phase.EPOCH,)
    needs = (GRAD_NORM,)
    needs_facts = ("optimizer",)
    history = 20
    severity = Severity.ERROR
    explains = ("loss-not-decreasing",)

    ratio: float = 1e-4
    """Share of the median | below which a layer counts."""

    def check(self, trace):
        yield Finding("1", "Look.")


def test_an_entry_says_everything_about_a_rule():
    figures = {"recall": 0.9, "first": 0.8, "faulty": 20, "false_alarms": 0.0033, "healthy": 300}
    together = {"detected": 0.97, "named": 0.9, "false_alarms": 0.01, "faulty": 200, "healthy": 300}
    text = catalogue([QuietLayer], {"all": together, "rules": {"quiet-layer": figures}})

    for line in (
        f"| [`quiet-layer`](#quiet-layer) | {QuietLayer.family()} | error | A layer gets almost no gradient. |",
        "1.0% of 300 healthy and repaired runs were false alarms.",
        "### Why it matters",
        "- asked: epoch",
        "- needs: `grad_norm`, the fact `optimizer`, 20 points at least",
        "- explains: [`loss-not-decreasing`](#loss-not-decreasing)",
        "- measured: found 90% of 20 runs with its fault, 80% by the first headline; "
        "false alarm on 0.3% of 300 healthy runs",
        "| `ratio` | 0.0001 | Share of the median \\| below which a layer counts. |",
    ):
        assert line in text.splitlines()


def test_the_same_rules_give_the_same_text_in_any_order():
    rules = list(builtin_rules().rules.values())

    assert catalogue(rules) == catalogue(rules[::-1])


def test_check_tells_a_fresh_catalogue_from_a_stale_one(tmp_path, capsys):
    path = tmp_path / "README.md"

    assert main(["--check", "--into", str(path)]) == 1
    assert main(["--into", str(path)]) == 0
    assert main(["--check", "--into", str(path)]) == 0
    path.write_text(path.read_text(encoding="utf-8") + "edited\n", encoding="utf-8")
    assert main(["--check", "--into", str(path)]) == 1
    assert "is stale; run 'python -m tracker.rules.catalogue'" in capsys.readouterr().err


def test_the_stored_catalogue_is_fresh():
    assert README.name == "README.md"
    assert main(["--check"]) == 0


def test_every_built_in_rule_stands_in_the_stored_catalogue():
    text = README.read_text(encoding="utf-8")

    assert [name for name in builtin_rules().rules if f"\n## {name}\n" not in text] == []
