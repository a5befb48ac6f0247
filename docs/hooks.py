"""Hooks of mkdocs: README.md is the front page, and links that leave docs/ become names of files.

The pages are written for a reader of the repository, where these links work. The site has only the pages.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)#\s]+)(?P<anchor>#[^)\s]+)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add README.md as the front page, with its pictures."""
    readme = (ROOT / "README.md").read_text()
    files.append(File.generated(config, "index.md", content=readme))
    for link in LINK.finditer(readme):
        if link["image"]:
            files.append(File.generated(config, link["target"], abs_src_path=str(ROOT / link["target"])))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite the links of a page."""
    source = "README.md" if page.file.src_uri == "index.md" else f"docs/{page.file.src_uri}"

    def rewrite(link: re.Match) -> str:
        if link["image"] or link["target"].startswith(("http://", "https://")):
            return link[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), link["target"]))
        if not path.startswith("docs/"):
            return f'<abbr title="{path} in the repository">{link["text"]}</abbr>'
        there = posixpath.relpath(path, posixpath.dirname(f"docs/{page.file.src_uri}"))
        return f"[{link['text']}]({there}{link['anchor'] or ''})"

    # Code in a list has six spaces for GitHub; Python-Markdown asks for eight.
    return re.sub(r"^ {6}(?=\S)", 8 * " ", LINK.sub(rewrite, markdown), flags=re.M)
