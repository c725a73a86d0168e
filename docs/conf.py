"""Sphinx settings. The reference is generated from the code by `_ext/reference.py`."""

from __future__ import annotations

import sys
from importlib.metadata import version as installed
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "apcore"
author = "The apcore developers"
copyright = "The apcore developers"
release = version = installed("apcore")

extensions = ["myst_parser", "sphinx.ext.autodoc", "reference"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"apcore {release}"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

# Single backquotes in docstrings name things of ours.
default_role = "py:obj"
# Annotations name classes in short, and several rooms may have one of that name (a JSON-LD context, a handler's context).
suppress_warnings = ["ref.python"]
add_module_names = False
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_default_options = {"members": True, "show-inheritance": True}
autoclass_content = "class"
python_use_unqualified_type_names = True
