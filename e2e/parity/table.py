"""The table of differences in docs/from-pgsync.md, as the suite found them."""

from parity.refusals import REFUSALS
from parity.rules import RULES

BEGIN, END = "<!-- parity: begin -->", "<!-- parity: end -->"
NEW = "# Coming from pgsync\n\n"


def _examples(cases):
    """Up to three cases by name, and the random trees as one."""
    named = sorted({case.name for case in cases if not case.random})
    return ", ".join(named[:3]) or "random trees"


def markdown(seen):
    """`seen`: {name of a rule or refusal: cases that needed it}."""
    lines = ["| | pgsync 7.3.0 | here | why | seen in |", "|---|---|---|---|---|"]
    for rule in RULES + REFUSALS:
        if rule.name in seen:
            lines.append(f"| {rule.name} | {_cell(rule.theirs)} | {_cell(rule.ours)} | {_cell(rule.reason)} | {_examples(seen[rule.name])} |")
    return "\n".join(lines)


def _cell(text):
    return text.replace("|", "\\|")


def section(path):
    """What the file has between the marks; None without the marks."""
    text = path.read_text() if path.exists() else ""
    if BEGIN not in text or END not in text:
        return None
    return text[text.index(BEGIN) + len(BEGIN):text.index(END)].strip()


def write(path, table):
    text = path.read_text() if path.exists() else f"{NEW}{BEGIN}\n{END}\n"
    before, after = text[:text.index(BEGIN) + len(BEGIN)], text[text.index(END):]
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{before}\n{table}\n{after}")
