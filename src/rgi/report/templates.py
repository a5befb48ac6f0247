"""Templates of the HTML pages."""

from pathlib import Path

import jinja2

from rgi.report import pictures
from rgi.report.formats import significant
from rgi.report.gallery import MAX_IMAGES


def load_template(name: str) -> jinja2.Template:
    """Load a page template.

    Args:
        name: file name of the template in the folder of this module.
    """
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals |= {
        "max_images": MAX_IMAGES,
        "percentile": pictures.PERCENTILE,
        "gradient": pictures.css_gradient(),
        "significant": significant,
    }
    return environment.get_template(name)
