"""Checks an echo server with the package `websockets`: prints one line of JSON for each thing that came back as it
was sent.

    python websockets_echo.py ws://127.0.0.1:9001/
"""

import asyncio
import json
import os
import sys

from websockets.asyncio.client import connect


def log(**line):
    print(json.dumps(line), flush=True)


async def main():
    async with connect(sys.argv[1], max_size=None) as socket:
        for text in ["hello server", "", "é€😀" * 50000]:
            await socket.send(text)
            assert await socket.recv() == text
        log(ok="text")

        for size in [0, 1, 125, 126, 65535, 65536, 1024 * 1024]:
            data = os.urandom(size)
            await socket.send(data)
            assert await socket.recv() == data
        log(ok="binary")

        for payload in [b"", os.urandom(125)]:
            pong = await socket.ping(payload)
            await pong
        log(ok="ping")

        await socket.send(["one ", "", "message"])
        assert await socket.recv() == "one message"
        log(ok="fragments")

        await socket.close(1000, "bye")
        log(ok="close", code=socket.close_code)


asyncio.run(main())
