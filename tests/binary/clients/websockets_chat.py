"""One member of a chat, on the package `websockets`: says each line of its standard input, prints what it hears as
lines of JSON, and leaves with 1000 when the input ends.

    python websockets_chat.py ws://127.0.0.1:8765/
"""

import asyncio
import json
import sys

from websockets.asyncio.client import connect


def log(**line):
    print(json.dumps(line), flush=True)


async def speak(socket):
    while line := await asyncio.to_thread(sys.stdin.readline):
        await socket.send(line.rstrip("\n"))
    await socket.close(1000, "bye")


async def main():
    async with connect(sys.argv[1]) as socket:
        log(event="open")
        speaking = asyncio.create_task(speak(socket))
        async for data in socket:
            log(event="message", data=data, binary=isinstance(data, bytes))
        await speaking
        log(event="close", code=socket.close_code)


asyncio.run(main())
