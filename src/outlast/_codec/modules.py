"""What a module is called in stored data: a script counts as its file's module.

The same file is `__main__` when it is run, `__mp_main__` in a worker process, and goes by its own
name when it is imported; what one of them stores, the others must recognise.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

_MAINS = ("__main__", "__mp_main__")


def home_of(module: str) -> str:
    """Return the name that a module goes by wherever it is loaded."""
    if module not in _MAINS:
        # `python -m package` runs this module, and stores what it has under the package's name.
        return module.removesuffix(".__main__")
    main = sys.modules.get(module)
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name not in _MAINS:
        return str(spec.name).removesuffix(".__main__")
    file = getattr(main, "__file__", None)
    return Path(file).stem if file else "__main__"


def name_of_class(cls: type) -> tuple[str, str]:
    """Return what stored data knows a class by."""
    return home_of(cls.__module__), cls.__qualname__


def names_of_module(definition: object) -> Mapping[str, object]:
    """Return the global names of the module that defines a class or function."""
    module = sys.modules.get(f"{getattr(definition, '__module__', None)}")
    return {} if module is None else vars(module)
