"""A model as a plugin: one C kernel for each model (kernels/), behind thin wrappers for each format (wrappers/, formats/).

`describe` turns a model into what its kernel needs; `export` builds it. The signal path of a model is in its kernel alone.
"""

from diffapf.export.description import Description, NotExportableError
from diffapf.export.exporting import export
from diffapf.export.models import describe

__all__ = ["Description", "NotExportableError", "describe", "export"]
