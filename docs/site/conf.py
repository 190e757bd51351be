"""How Sphinx builds the site; every warning is an error (see noxfile.py)."""

from __future__ import annotations

import aiosched

project = "aiosched"
copyright = "aiosched contributors"  # noqa: A001 - Sphinx asks for this name
version = release = aiosched.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinxcontrib.mermaid",
]

# Pages are written for those who read them beside the code, too: plain Markdown.
# Headings have the anchors that they have there.
myst_heading_anchors = 4
myst_fence_as_directive = ["mermaid"]
# Home begins with the README, and each part of the navigation is a list of its own.
suppress_warnings = ["toc.multiple_toc_captions"]

autodoc_default_options = {
    "show-inheritance": True,
    # What comes from elsewhere is documented there.
    "inherited-members": "BaseModel,BaseException,Exception,object,str,tuple,StrEnum",
    "exclude-members": "model_config,model_post_init",
    "member-order": "bysource",
}
# What a docstring refers to has to exist.  Of types in signatures, those of other
# projects and those inside, which have no page, are plain text.
nitpick_ignore_regex = [
    (r"py:(class|obj|exc)", r"(?!aiosched\.).*"),
    (
        r"py:(class|obj)",
        r"aiosched\.(_api|_engine|abc|background|clock|config|delivery|depends|enums"
        r"|integrations|jobs|logs|messages|parameters|planning|records|registry|rows"
        r"|stores|testing|triggers|values)\..*",
    ),
]
# Named in docstrings, and without a page: of other projects, or inside.
nitpick_ignore = [
    ("py:meth", "model_copy"),
    ("py:func", "trigger_from_data"),
    ("py:func", "scheduler_of"),
    ("py:func", "traceback.print_stack"),
    ("py:mod", "multiprocessing"),
    ("py:mod", "aiosched.testing.plugin"),
    ("py:data", "EVENTS"),
    ("py:meth", "Scheduler.shutdown"),
]
# The façade's verbs are made of those of Scheduler when it is imported.
nitpick_ignore_regex += [
    ("py:meth", r"aiosched\.BackgroundScheduler\..*"),
    ("py:class", r"aiosched\.(scheduler\.F|guard\.GuardDesk)"),
]
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = f"aiosched {version}"
html_show_sphinx = False
html_copy_source = False
copybutton_exclude = ".linenos, .gp"
