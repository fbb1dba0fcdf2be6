"""What a running node tells its operator, on standard error: what is wrong with the log, and alarms."""

from __future__ import annotations

import asyncio
import re
import sys

from chorus.errors import ChorusError
from chorus.mesh.config import Config
from chorus.mesh.effects import Alarm
from chorus.mesh.runtime import Runtime

_EVERY = 1.0  # seconds between two looks


async def complain(runtime: Runtime, config: Config) -> None:
    """Tell what is wrong, each thing once, and when it is over."""

    def say(words: str) -> None:
        print(f"{config.node.name}: {words}", file=sys.stderr, flush=True)

    where = f"{config.place('mesh', 'log')}: mesh.log"
    alarm = ""
    told: set[str] = set()  # of this trouble, without addresses and numbers
    with runtime.watching() as feed:
        try:
            for words in await runtime.log.look():
                say(f"{where}: {words}")
        except ChorusError:  # the node stops for it, and says why
            return
        while True:
            await asyncio.sleep(_EVERY)
            for event in feed.taken():
                if isinstance(event, Alarm) and not event.fatal and event.text != alarm:
                    alarm = event.text
                    say(alarm)
            found = runtime.node.tail.trouble or runtime.node.tail.unread
            kind = re.sub(r"\S*\d\S*", "", found)
            if found and kind not in told:
                say(f"{where}: {found}; what is said waits on this node's disk")
                told.add(kind)
            elif told and not found:
                say(f"{where}: the log answers again")
                told.clear()
