"""A first model.toml and words.toml for a table, with TODO where only a person can know (new.py)."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path

MOST_CODES = 10  # of a choice; a column with more different numbers is a measure
FIGURES = {
    "binary": "roc_auc = { max_drop = 0.01 }\nlog_loss = { max_rise = 0.02 }",
    "multiclass": "macro_f1 = { max_drop = 0.02 }\nlog_loss = { max_rise = 0.05 }",
    "regression": "r2 = { max_drop = 0.02 }",
}


class UndescribableTable(Exception):  # noqa: N818 - the message is a sentence
    """A table that this model cannot be about. The message names the column and what to do."""


def drafted(data: Path, target: str, name: str) -> tuple[str, str, bytes]:
    """model.toml, words.toml, and the table with the target as its last column. Raises UndescribableTable."""
    rows = _rows(data)
    head = rows[0]
    if target not in head:
        raise UndescribableTable(f"{data} has no column {target}; its columns are {', '.join(head)}")
    columns = {title: [row[at] for row in rows[1:]] for at, title in enumerate(head)}
    targets = columns.pop(target)
    columns[target] = targets
    about = _about(target, targets, name)
    features = {title: _feature(title, cells) for title, cells in columns.items() if title != target}
    settings = "\n".join([*about, "[features]", *(f"{_key(title)} = {line}" for title, (line, _) in features.items())])
    words = _words(name, about, {title: codes for title, (_, codes) in features.items()}, targets)
    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\n")
    lines.writerow(columns)
    lines.writerows(zip(*columns.values(), strict=True))
    return f"{settings}\n", words, out.getvalue().encode()


def task_of(targets: Sequence[str]) -> str:
    """What a column can be predicted as: 0 or 1, one of a few names, or a number."""
    found = set(targets)
    if found == {"0", "1"}:
        return "binary"
    return (
        "regression" if len(found) > MOST_CODES and all(_number(text) is not None for text in found) else "multiclass"
    )


def _rows(data: Path) -> list[list[str]]:
    try:
        rows = [row for row in csv.reader(io.StringIO(data.read_text("utf-8-sig"), newline="")) if row]
    except (OSError, UnicodeDecodeError) as error:
        raise UndescribableTable(f"{data} cannot be read ({error}). Save it as CSV in UTF-8") from error
    if len(rows) < 2:
        raise UndescribableTable(f"{data} has no rows below a header line")
    for number, row in enumerate(rows, 1):
        if len(row) != len(rows[0]):
            raise UndescribableTable(f"{data} row {number} has {len(row)} cells, not {len(rows[0])}. Correct it")
    return rows


def _about(target: str, targets: Sequence[str], name: str) -> list[str]:
    task = task_of(targets)
    lines = ["# The subject of the model. Training reads this file and writes it into the card.", "", "[model]"]
    lines += [f"name = {_text(name)}", f'task = "{task}"', f"target = {_text(target)}"]
    if task == "multiclass":
        lines.append(f"classes = {_text(sorted(set(targets)))}")
    if task == "regression":
        lines.append('unit = "TODO"')
    lines += ['means = "TODO: what the target is"', "limits = [", '  "TODO: what the data are, and for whom the model']
    lines[-1] += ' is no good",'
    return [*lines, "]", "", "[gate] # how much worse than the live release a figure may be", FIGURES[task], ""]


def _feature(title: str, cells: Sequence[str]) -> tuple[str, list[int]]:
    """A column's line in model.toml, and its codes."""
    known = [cell for cell in cells if cell.strip()]
    numbers = [number for cell in known if (number := _number(cell)) is not None]
    if len(numbers) < len(known):
        if numbers or len({*known}) <= MOST_CODES:
            raise UndescribableTable(
                f"column {title} has the values {', '.join(sorted({*known})[:4])}. Write a number for each of them, "
                "for instance 0 and 1, and their names later in words.toml"
            )
        return f"{{ longest = {2 * max(map(len, known))} }}", []
    if not known:
        raise UndescribableTable(f"column {title} is empty. Remove it")
    whole = sorted({int(number) for number in numbers if number == int(number)})
    if len({*numbers}) <= MOST_CODES and len({*numbers}) == len(whole):
        return f"{{ codes = {whole} }}", whole
    low, high = min(numbers), max(numbers)
    room = (high - low) / 2
    low_, high_ = (0 if low >= 0 and low - room < 0 else math.floor(low - room)), math.ceil(high + room)
    return f'{{ unit = "TODO", low = {low_}, high = {high_} }}', []


def _words(name: str, about: Sequence[str], features: dict[str, list[int]], targets: Sequence[str]) -> str:
    lines = ["# What the page says about this model. The build compares this file with model.toml (wording.py).", ""]
    lines.append(f"about = {_text(name)}")
    for code in ("en", "pt"):
        todo = f"TODO ({code})"
        lines += ["", f"[{code}]", *(f'{key} = "{todo}"' for key in ("title", "intro", "caution", "means"))]
        lines.append(f'limits = ["{todo}"]')
        if 'task = "multiclass"' in about:
            named = ", ".join(f"{_key(one)} = {_text(f'{one} {todo}')}" for one in sorted(set(targets)))
            lines.append(f"classes = {{ {named} }}")
        for title, codes in features.items():
            lines += ["", f"[{code}.features.{_key(title)}]", f"label = {_text(f'{title} {todo}')}"]
            if codes:
                named = ", ".join(f"{one} = {_text(f'{one} {todo}')}" for one in codes)
                lines.append(f"codes = {{ {named} }}")
    return "\n".join(lines) + "\n"


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _key(name: str) -> str:
    return name if name.isascii() and name.replace("_", "").replace("-", "").isalnum() else _text(name)


def _text(content: object) -> str:
    return json.dumps(content, ensure_ascii=False)
