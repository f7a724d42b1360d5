"""Make docs/images/demo.svg from a real run:  .venv/bin/tunery demo --exit | .venv/bin/python docs/images/record_demo.py

Only the progress lines are thinned; long lines are folded as a terminal of ``WIDTH`` columns does.
"""

import io
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.highlighter import ReprHighlighter
from rich.text import Text

WIDTH = 120
PROGRESS_KEPT = 3
"""Every third line of progress."""
# Rich's own frame asks a font of a content network; a reader's browser has a monospaced font of its own.
FRAME = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: {char_height}px;
 line-height: {line_height}px; font-variant-east-asian: full-width; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def main() -> None:
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(Text("$ make demo ARGS=--exit", style="bold"))
    colour = ReprHighlighter()
    seen = 0
    for line in sys.stdin.read().splitlines():
        if re.match(r"training +step", line):
            seen += 1
            if seen % PROGRESS_KEPT != 1:
                continue
        console.print(colour(Text(line.rstrip())))
    target = Path(__file__).with_name("demo.svg")
    target.write_text(console.export_svg(title="tunery demo", code_format=FRAME, unique_id="demo"), encoding="utf-8")


if __name__ == "__main__":
    main()
