"""What a case may take of the machine; the operating system itself ends the process that takes more time."""

from __future__ import annotations

import os
import resource
import signal
import sys
import threading


CPU_S = 5.0
WALL_S = 120.0  # of one that waits for something; others may be at work on the machine
MEMORY_BYTES = 1 << 30
# a backstop for the machine; what is only asked for, and never touched, is not held
ADDRESS_BYTES = 8 << 30
HANGS = {signal.SIGPROF: f"took more than {CPU_S:g} s of processor time", signal.SIGALRM: f"waited {WALL_S:g} s"}


def start_clock() -> None:
    """End this process, by a signal, unless the clock is stopped in time: also out of code that is no Python."""
    signal.setitimer(signal.ITIMER_PROF, CPU_S)
    signal.setitimer(signal.ITIMER_REAL, WALL_S)


def stop_clock() -> None:
    """Stop it."""
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)


def limit_memory() -> None:
    """Let this process have no more than `ADDRESS_BYTES` beside what it has."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            size = int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return
    resource.setrlimit(resource.RLIMIT_AS, (size + ADDRESS_BYTES, resource.RLIM_INFINITY))


def peak_bytes() -> int:
    """The most memory that this process has held."""
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            lines = [line.split() for line in file if line.startswith("VmHWM:")]
    except OSError:
        lines = []
    if lines:
        return int(lines[0][1]) * 1024
    # on Linux this would begin at the peak of the process that started this one
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def held_bytes() -> int:
    """The memory that this process holds; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except OSError:
        return 0


def open_things() -> dict[str, int]:
    """How many file handles and threads there are."""
    handles = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"
    return {"file handles": len(os.listdir(handles)), "threads": threading.active_count()}
