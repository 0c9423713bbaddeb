"""An interactive workbench over methods that make neural networks smaller.

Importing the package is cheap: torch, transformers and datasets load inside the functions that
need them.
"""

__version__ = "0.1.0"
