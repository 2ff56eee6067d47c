"""The site: `make docs`. Its pages are the Markdown files beside this one, which a git host shows as they are."""

import logging
import sys
from importlib.metadata import version as version_of
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # for docsite, which is no part of the package

logging.getLogger("alembic").setLevel(logging.WARNING)

project = "outbox"
copyright = "the authors of outbox"  # noqa: A001 - as Sphinx has it
version = release = version_of("outbox")
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "docsite.anchors",
    "docsite.inserts",
    "docsite.python",
    "docsite.sources",
]

smartquotes = False  # they make one dash of two, also of an option's
root_doc = "index"
highlight_language = "text"  # of blocks that name none: what a program prints
exclude_patterns = ["conf.py", "_static"]
myst_enable_extensions = ["attrs_block", "colon_fence"]
myst_heading_anchors = 4  # the same as a git host's
myst_links_external_new_tab = False
suppress_warnings = [
    "myst.header",  # a page that takes another's section in begins lower down
    "ref.python",  # an annotation names one of several classes of the same name
    "misc.highlighting_failure",  # Pygments does not know every language, such as LogQL
]

# What is ours has to be found; the types of the standard library and of drivers are elsewhere.
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(?!outbox).*"), ("py:obj", ".*")]  # what stands in backticks may be a word of SQL
default_role = "py:obj"
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": True}
python_use_unqualified_type_names = True
maximum_signature_line_length = 88

html_theme = "furo"
html_title = "outbox"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
html_permalinks_icon = "#"
html_theme_options = {"navigation_with_keys": True}
pygments_style = "a11y-light"
pygments_dark_style = "a11y-dark"
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True

linkcheck_timeout = 20
linkcheck_ignore = [r"https?://(localhost|127\.0\.0\.1|[^/]*\bexample\.(org|com|net))\b.*"]
