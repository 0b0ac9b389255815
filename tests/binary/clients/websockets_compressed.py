"""Checks an echo server that compresses with the package `websockets`: prints one line of JSON for each offer, with what
was agreed on, the bytes of all messages and those that came.

    python websockets_compressed.py ws://127.0.0.1:9001/
"""

import asyncio
import json
import os
import sys

from websockets.asyncio.client import connect
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory as Offer

OFFERS = [
    {},
    {"server_no_context_takeover": True},
    {"client_no_context_takeover": True},
    {"server_max_window_bits": 9},
    {"client_max_window_bits": 12},
]


def people(count):
    return json.dumps([{"id": i, "name": f"player-{i * 7919 % 1000}", "alive": True} for i in range(count)])


async def check(offer):
    async with connect(sys.argv[1], max_size=None, compression=None, extensions=[Offer(**offer)]) as socket:
        came = 0
        feed = socket.protocol.receive_data

        def receive(data):
            nonlocal came
            came += len(data)
            feed(data)

        socket.protocol.receive_data = receive
        total = 0
        messages = [people(0), people(1), people(10), people(100), people(5000), "é€😀" * 50000, os.urandom(70000), ""]
        for message in messages * 2:
            await socket.send(message)
            assert await socket.recv() == message
            total += len(message.encode() if isinstance(message, str) else message)
        await socket.send(["one ", "", "message"])
        assert await socket.recv() == "one message"
        [extension] = socket.protocol.extensions
        params = {
            "server_no_context_takeover": extension.remote_no_context_takeover,
            "client_no_context_takeover": extension.local_no_context_takeover,
            "server_max_window_bits": extension.remote_max_window_bits,
        }
        await socket.close(1000)
        print(json.dumps({"extensions": params, "bytes": total, "came": came}), flush=True)


async def main():
    for offer in OFFERS:
        await check(offer)


asyncio.run(main())
