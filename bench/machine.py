"""On what the figures are taken: what it is, and how it is made ready for a run."""

from __future__ import annotations

import mmap
import os
import platform
import subprocess
from datetime import datetime, timezone
from pathlib import Path


def _field(path: str, name: str) -> str | None:
    try:
        for line in Path(path).read_text().splitlines():
            key, _, value = line.replace("=", ":", 1).partition(":")
            if key.strip() == name:
                return value.strip().strip('"')
    except OSError:
        pass
    return None


def _revision(root: Path) -> str:
    try:
        git = ["git", "-C", str(root)]
        revision = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True)
        return revision.stdout.strip() + (" with changes" if changed.stdout.strip() else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _versions(build_dir: Path) -> dict[str, str]:
    """What the build noted: `name version` lines of BUILD_DIR/bench/versions*.txt."""
    versions: dict[str, str] = {}
    for path in sorted((build_dir / "bench").glob("versions*.txt")):
        for line in path.read_text().splitlines():
            name, _, version = line.strip().rpartition(" ")
            if name and version:
                versions[name] = version
    return versions


def describe(root: Path, build_dir: Path) -> dict[str, object]:
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "revision": _revision(root),
        "processor": _field("/proc/cpuinfo", "model name") or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": _field("/etc/os-release", "PRETTY_NAME") or "Linux",
        "kernel": platform.release(),
        "versions": _versions(build_dir),
    }


def touch_memory(wanted: int) -> None:
    """Fills so many bytes (at most half of what is available) and gives them back. On a virtual machine, pages that were
    free for a while may have to come from its host again, at several times the time of one at hand; a run would depend
    on what the one before it left."""
    available = int((_field("/proc/meminfo", "MemAvailable") or "0").partition(" ")[0]) * 1024
    pages = min(wanted, available // 2) // mmap.PAGESIZE
    if pages == 0:
        return
    with mmap.mmap(-1, pages * mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory[:: mmap.PAGESIZE] = b"1" * pages
