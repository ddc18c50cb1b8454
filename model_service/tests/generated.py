"""Small data sets that the tests make up, one for each task and one with a text, with model.toml and words.toml."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from serving.words import LANGUAGES

ROWS = 200
COLOURS = ("red", "green", "blue")
# The words of a text about each colour, and words that are in any text.
SAYS = {"red": "fire rose blood", "green": "grass leaf moss", "blue": "sea sky ice"}
ANY = ["the", "one", "that", "was", "seen", "near", "a", "house"]

MEASURES = """
[features]
weight = { unit = "kg", low = 0, high = 20 }
ring = { unit = "Hz", low = 50, high = 500 }
stripes = { codes = [0, 1, 2] }
"""
KNOWN = """
[known]
"by eye" = ["weight", "stripes"]
"""
TEXT = """
[features]
note = { longest = 200 }
stripes = { codes = [0, 1] }
"""
MODEL = """
[model]
name = "melons"
target = "target"
means = "what a melon is"
limits = ["They are made up."]
"""
TASKS = {
    "binary": ('task = "binary"', KNOWN + MEASURES),
    "regression": ('task = "regression"\nunit = "EUR"', KNOWN + MEASURES),
    "multiclass": (f'task = "multiclass"\nclasses = {json.dumps(COLOURS)}', KNOWN + MEASURES),
    "text": (f'task = "multiclass"\nclasses = {json.dumps(COLOURS)}', TEXT),
}


def generate(folder: Path, kind: str) -> tuple[Path, Path]:
    """The table and the settings of a kind, written into ``folder`` with its words."""
    task, rest = TASKS[kind]
    lines = _texts() if kind == "text" else _measures(kind)
    (folder / "table.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "model.toml").write_text(MODEL + task + "\n" + rest, encoding="utf-8")
    (folder / "words.toml").write_text(_words(kind), encoding="utf-8")
    return folder / "table.csv", folder / "model.toml"


def _measures(kind: str) -> list[str]:
    chance = np.random.default_rng(1)
    weight, ring = chance.uniform(0.5, 5, ROWS), chance.uniform(80, 400, ROWS)
    stripes = chance.integers(0, 3, ROWS)
    score = weight + stripes + chance.normal(0, 0.7, ROWS)
    target = {
        "binary": (score > 3.5).astype(int),
        "regression": np.round(1000 * score + 3000, 1),
        "multiclass": np.array(COLOURS)[np.digitize(score, [2.7, 4.5])],
    }[kind]
    rows = zip(weight, ring, stripes, target, strict=True)
    cells = (f"{w:.2f},{'' if at % 9 == 0 else f'{r:.0f}'},{s},{t}" for at, (w, r, s, t) in enumerate(rows))
    return ["weight,ring,stripes,target", *cells]


def _texts() -> list[str]:
    chance = np.random.default_rng(2)
    lines = ["note,stripes,target"]
    for at in range(ROWS):
        colour = COLOURS[at % 3]
        said = [*chance.choice(SAYS[colour].split(), 2), *chance.choice(ANY, 4)]
        if at % 5 == 0:
            said[0] = chance.choice(SAYS[COLOURS[(at + 1) % 3]].split())
        lines.append(f"{'' if at % 40 == 7 else ' '.join(said)},{int(chance.random() < 0.5)},{colour}")
    return lines


def _words(kind: str) -> str:
    features = {"note": "", "stripes": "0 1"} if kind == "text" else {"weight": "", "ring": "", "stripes": "0 1 2"}
    lines = ['about = "melons"']
    for code in LANGUAGES:
        lines += [f"[{code}]", *(f'{name} = "{name} ({code})"' for name in ("title", "intro", "caution", "means"))]
        lines.append(f'limits = ["invented ({code})"]')
        if kind in ("multiclass", "text"):
            lines.append("classes = { " + ", ".join(f'{name} = "{name} ({code})"' for name in COLOURS) + " }")
        if kind != "text":
            lines.append(f'known = {{ "by eye" = "by eye ({code})" }}')
        for name, codes in features.items():
            lines += [f"[{code}.features.{name}]", f'label = "{name} ({code})"']
            if codes:
                lines.append("codes = { " + ", ".join(f'{one} = "no. {one}"' for one in codes.split()) + " }")
    return "\n".join(lines) + "\n"
