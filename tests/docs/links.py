"""Whether the links of all pages lead to files and headings that are there, and docs/README.md to every page below docs/:
links.py ROOT"""

import re
import sys
from pathlib import Path


def anchors_of(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ +(.*?) *$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


def links_of(page: Path) -> list[str]:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"\]\(([^)\s]+)\)", text)


def broken_in(page: Path) -> list[str]:
    broken = []
    for target in links_of(page):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        to = (page.parent / path) if path else page
        if not to.exists() or (anchor and anchor not in anchors_of(to)):
            broken.append(f"{page}: {target}")
    return broken


def main(root: str) -> int:
    pages = [p for where in ("*.md", "*/*.md", "docs/guide/*.md") for p in sorted(Path(root).glob(where))
             if not p.relative_to(root).parts[0].startswith("build")]
    broken = [b for p in pages for b in broken_in(p)]
    index = Path(root) / "docs" / "README.md"
    known = {(index.parent / link).resolve() for link in links_of(index)} | {index.resolve()}
    broken += [f"{p}: docs/README.md does not lead here" for p in pages
               if p.is_relative_to(index.parent) and p.resolve() not in known]
    print("\n".join(broken) or f"{len(pages)} pages")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
