"""Stands before a handler in its container and tells how long it took: ``PROBED`` names the handler, as Lambda does.

The runtime's process begins when the emulator starts it, and is ready when the handler is imported: what Lambda calls
Init. The kernel counts a process's beginning in hundredths of a second since the machine's.
"""

import time

began = time.perf_counter()
import importlib  # noqa: E402 - the clock is first
import os  # noqa: E402

module, _, name = os.environ["PROBED"].rpartition(".")
inner = getattr(importlib.import_module(module), name)
imported = time.perf_counter()
with open("/proc/self/stat") as file:  # noqa: PTH123 - pathlib would be imported for it
    ticks = int(file.read().rpartition(")")[2].split()[19])
ready = {
    "import_ms": (imported - began) * 1000,
    "init_ms": (time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")) * 1000,
    "init_cpu_ms": time.process_time() * 1000,
}


def handler(event: object, context: object) -> dict[str, object]:
    """Answer what the handler answers, and the times beside it."""
    asked = time.perf_counter()
    answer = inner(event, context)
    return {"answer": answer, **ready, "handler_ms": (time.perf_counter() - asked) * 1000}
