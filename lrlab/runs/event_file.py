"""A TensorBoard event file that only grows. A full disk never ends what writes it: points wait until it takes them."""

import os
import re
import socket
import struct
import time
from collections.abc import Mapping
from pathlib import Path

import google_crc32c
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary

from lrlab.system.disk import Log

OURS = ".lrlab"  # how the names of our event files end, for a folder may hold those of other writers too


class EventFile:
    """A new event file in `folder`, which TensorBoard reads after all that are there. `log` is the file itself."""

    def __init__(self, folder: Path):
        name = f"events.out.tfevents.{_later_than_all(folder):010d}.{socket.gethostname()}.{os.getpid()}"
        self.log = Log(_unused(folder / name))

    def begin(self, step: int) -> None:
        """Write what every event file begins with. A TensorBoard forgets what it read of earlier ones from `step` on.

        It only heeds the second such mark of a run, so a new run begins with one too.
        """
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))
        self._write(Event(wall_time=time.time(), step=step, session_log=SessionLog(status=SessionLog.START)))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Add a point at `step` to every tag in `values`."""
        if values:
            event = Event(wall_time=time.time(), step=step)
            for tag, value in values.items():
                event.summary.value.add(tag=tag, simple_value=value)
            self._write(event)

    def summary(self, step: int, summary: Summary) -> None:
        """Add anything else that TensorBoard can show."""
        self._write(Event(wall_time=time.time(), step=step, summary=summary))

    def _write(self, event: Event) -> None:
        data = event.SerializeToString()
        header = struct.pack("<Q", len(data))
        self.log.add(header + _masked_crc(header) + data + _masked_crc(data))


def _masked_crc(data: bytes) -> bytes:
    """The checksum of TensorFlow's record format: a CRC-32C, rotated and shifted.

    A plain one would mean little for data that holds a CRC itself. TensorBoard's own writer computes it in Python,
    which took more time than all the rest of recording.
    Source: tensorflow/core/lib/io/record_writer.h and lib/hash/crc32c.h.
    """
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _later_than_all(folder: Path) -> int:
    """A time in seconds that names the next event file. TensorBoard reads the files of a run in the order of names."""
    latest = int(time.time())
    for path in folder.glob("events.out.tfevents.*"):
        if stamp := re.match(r"events\.out\.tfevents\.(\d+)", path.name):
            latest = max(latest, int(stamp[1]) + 1)
    return latest


def _unused(path: Path) -> Path:
    """`path` with a number behind it, the first that no file has yet."""
    number = 0
    while (candidate := path.with_name(f"{path.name}.{number}{OURS}")).exists():
        number += 1
    return candidate
