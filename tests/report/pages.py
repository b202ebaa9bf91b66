"""A run made by hand whose every name is hostile, and a reader of pages that sees what a browser would make of them."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

from tracker.report.gathering.gathered import Gathered
from tracker.report.gathering.sources import Source
from tracker.rules.engine.records import Array, Event, Fact, Reading

HOSTILE = "<script>window.hacked=1</script>\"><img src=x onerror='window.hacked=2'>`$x$ {{ 7*7 }} \u202e\ud800 ]]> -->"
BARE = frozenset({"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"})


class Reader(HTMLParser):
    """Collects elements with their attributes, and texts with the elements they stand in."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self._open: list[str] = []
        self.unclosed: list[str] = []
        self.feed(page)
        self.close()
        self.unclosed += self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in BARE:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.unclosed.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append((self._open[-1] if self._open else "", data))

    def named(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of every element of this kind."""
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        """All that can be read, with single spaces."""
        return " ".join(" ".join(text for tag, text in self.texts if tag not in ("style", "script")).split())


def finding(rule: str, **more: Any) -> dict[str, Any]:
    """A finding as it stands in a verdict."""
    return {
        "rule": rule,
        "severity": "warning",
        "subject": "",
        "message": "loss 2.3, expected below 1",
        "advice": ["look"],
        "first_step": 8,
        "last_step": 16,
        "evidence": {"loss": 2.3},
        **more,
    }


def hostile_source() -> Source:
    """A run in which every string is hostile, numbers are not finite here and there, and forms are wrong."""
    gathered = Gathered()
    h = HOSTILE
    for step in range(20):
        gathered.take(1000.0 + step, Reading("loss", "", step, 1.0 / (1 + step) if step != 7 else float("nan")))
        for signal in ("grad_norm", "update_ratio", "weight_norm"):
            gathered.take(1000.0 + step, Reading(signal, h, step, 1e-3 * (1 + step)))
        gathered.take(1000.0 + step, Reading("output/dead", h, step, 0.5))
        gathered.take(1000.0 + step, Reading("metric", h, step, float(step)))
    for step in (9, 19):
        gathered.take(1010.0, Reading("loss/val", h, step, 0.5))
        gathered.take(1010.0, Reading("accuracy/val", "", step, 0.5))
        gathered.take(1010.0, Reading("recall", f"val/{h}", step, 0.5))
        gathered.take(1010.0, Reading("recall", "val/1", step, 0.5))
        gathered.take(1010.0, Array("confusion", "val", step, (3.0, 1.0, 0.0, 4.0)))
        gathered.take(1010.0, Array("predictions", h, step, (3.0, 5.0)))
        gathered.take(1010.0, Array("weight/histogram", h, step, (-1.0, 1.0, *map(float, range(32)))))
        gathered.take(1010.0, Event("epoch", step, {"epoch": step // 10, "first_step": step - 9, "last_step": step}))
    layers = {h: {"class": h, "parameters": 5, "output": [2, h], h: h}}
    gathered.take(1020.0, Fact("model", 0, {h: {"class": h, "parameters": h, "layers": layers, "frozen": [h]}}))
    gathered.take(1020.0, Fact("parameters", 0, {h: {"shape": [2, 2], "dtype": h, "trainable": True}, "x": 3}))
    gathered.take(1020.0, Fact("loss", 0, {"function": h, "reduction": h, "outputs_shape": [h]}))
    gathered.take(1020.0, Fact("inputs", 0, {h: {"shape": [1, 2], "dtype": h}}))
    gathered.take(1020.0, Fact("optimizer", 0, [{"class": h, "groups": [{"lr": h}]}, h]))
    text = {"id": "t", "split": "val", "why": "fixed", "kind": "text", "shape": [], "input": {"text": h}}
    broken = {"id": "b", "split": h, "why": h, "kind": "image", "shape": [h], "input": {"pixels": h, "height": 1e9}}
    for one in (text, broken):
        gathered.take(1020.0, Fact("sample", 0, one))  # type: ignore[arg-type]
    entry = {"id": "t", "target": h, "predicted": h, "top": [[h, 0.5]], "loss": "nan"}
    gathered.take(1020.0, Fact("predictions", 19, {"split": "val", "fixed": [entry, h], "worst": [{"id": "b"}, entry]}))
    gathered.take(1020.0, Fact("filters", 19, {"layer": h, "parameter": h, "pixels": h, "kept": 4, "height": 3}))
    return Source(
        run_id=h,
        name=h,
        experiment=h,
        status="FAILED",
        how=h,
        started=1000.0,
        ended=1030.0,
        verdict={
            "suspicious": "true",
            "why": h,
            "findings": [
                finding(h, subject=h, message=h, advice=[h, h], evidence={h: 1.0}, consequences=[finding(h)]),
                finding("vanishing-gradient", subject=h, evidence={"norm": float("inf")}),
                finding("double-softmax", suppressed=h),
                h,
            ],
            "skipped": [{"rule": h, "reason": h}, h],
            "crashed": [{"rule": h, "reason": h}],
            "clear": [h],
        },
        proof={
            "grade": "R1",
            "scope": h,
            "reproducible": "false",
            "meaning": h,
            "gaps": [{"part": h, "what": h, "fix": h, "blocking": True}, h],
            "proof": {"tried": True, "matches": False, "tree": h, "problems": [h], "environment": h},
        },
        params={h: h},
        tags={"repro.last": h, "repro.of": h, h: h},
        captured={
            "code.json": {"kind": h, "commit": h, "changed": [h], "tree": h},
            "run.json": {"orig_argv": [h], "params": {h: {h: h}}},
            "changes.patch.txt": f"+{h}\n-{h}\n@@ {h}",
            "code.files.txt": f"100644 abc {h}",
            "data.json": {"files": h, "items": [{"path": h, "size": h, "kind": h}, h], "declared": [h]},
            "environment.json": {"packages": [{"name": h, "version": h}], "process": {"variables": {"values": {h: h}}}},
            "randomness.json": {"seeding": {"hash_seed": h, "digests": {"torch": h}}, "seedings": {h: {h: [h]}}},
            "hyperparameters.json": {"args": {h: h}, h: [{h: h}]},
        },
        gathered=gathered,
    )
