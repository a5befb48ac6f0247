"""Templates of the HTML pages."""

import base64
import hashlib
from functools import cache
from pathlib import Path

import jinja2

from rgi.report import pictures
from rgi.report.formats import significant

FOLDER = Path(__file__).parent


def load_template(name: str) -> jinja2.Template:
    """Load a page template.

    Args:
        name: file name of the template in the folder of this module.
    """
    loader = jinja2.FileSystemLoader(FOLDER)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals |= {
        "percentile": pictures.PERCENTILE,
        "gradient": pictures.css_gradient(),
        "significant": significant,
        "policy": policy(),
    }
    return environment.get_template(name)


@cache
def policy() -> str:
    """Content security policy of the pages: only their own script runs, and nothing is loaded from elsewhere."""
    script = (FOLDER / "gallery.html").read_text(encoding="utf-8").partition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"default-src 'none'; img-src 'self' file: data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
