"""Makes qdrant-client's REST models importable without the client around them.

`qdrant_client.http.models` needs pydantic alone, but importing it runs the packages above it: the client, its local
mode, gRPC, httpx and numpy, 80 MB and a second that this process would never use.
"""

import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType


def skip_the_client() -> None:
    """Put empty packages where the client's would run; call it before the first import of the models.

    For a process that will never build a client: it cannot be undone. Does nothing where the client is imported.
    """
    if "qdrant_client" in sys.modules:
        return
    spec = find_spec("qdrant_client")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("qdrant-client is not installed", name="qdrant_client")
    root = Path(spec.submodule_search_locations[0])
    for name, folder in (("qdrant_client", root), ("qdrant_client.http", root / "http")):
        package = ModuleType(name)
        package.__path__ = [str(folder)]
        sys.modules[name] = package
    # Numpy arrays never arrive over HTTP: without their validator, numpy is not imported either.
    arrays = ModuleType("qdrant_client._numpy_vectors")
    vars(arrays)["NumpyVectorsToLists"] = None
    sys.modules[arrays.__name__] = arrays
