"""WebSocket as python3-websockets speaks it, for tests/interop/run_http. Run by Debian's own python.

websocket_theirs.py server                says "port N"; an echo
websocket_theirs.py client URL [CA]       what run_http asks of ours; says "all is well"
"""

import asyncio
import ssl
import sys

import websockets

TEXT = "héllo € 🚢"
LARGE = bytes(range(251)) * 4000


async def echo(socket):
    try:
        async for message in socket:
            await socket.send(message)
    finally:
        print(f"ended {socket.close_code} {socket.close_reason}", flush=True)


async def serve():
    async with websockets.serve(echo, "127.0.0.1", 0, max_size=2**24) as server:
        print(f"port {server.sockets[0].getsockname()[1]}", flush=True)
        await asyncio.Future()


async def there_and_back(socket):
    """Whole, in fragments, empty, and many at once; a ping between."""
    for message in (TEXT, LARGE, "", b""):
        await socket.send(message)
        assert await socket.recv() == message, message[:20]
    await socket.send([TEXT[:4], TEXT[4:], TEXT])
    assert await socket.recv() == TEXT + TEXT
    await (await socket.ping(b"are you there"))
    for number in range(500):
        await socket.send(str(number))
    for number in range(500):
        assert await socket.recv() == str(number)


async def refused(url, context, status):
    try:
        async with websockets.connect(url, ssl=context):
            raise AssertionError("it was taken")
    except websockets.exceptions.InvalidStatusCode as error:
        assert error.status_code == status, error


async def closed_for(url, context, message, code):
    async with websockets.connect(url, ssl=context, max_size=2**26) as socket:
        try:
            await socket.send(message)
            await socket.recv()
            raise AssertionError("it was taken")
        except websockets.exceptions.ConnectionClosed:
            assert socket.close_code == code, socket.close_code


async def visit(url, context):
    async with websockets.connect(url + "/echo", ssl=context, origin="https://here", max_size=2**24) as socket:
        await there_and_back(socket)
    assert socket.close_code == 1000, socket.close_code
    await closed_for(url + "/echo", context, b"x" * (2**24 + 1), 1009)
    await closed_for(url + "/bytes", context, "text", 1003)
    async with websockets.connect(url + "/bytes", ssl=context, max_size=None) as socket:
        await socket.send(LARGE)
        back = b""
        while len(back) < len(LARGE):
            back += await socket.recv()
        assert back == LARGE
    await refused(url + "/5", context, 200)
    print("all is well")


def main():
    if sys.argv[1] == "server":
        asyncio.run(serve())
    context = ssl.create_default_context(cafile=sys.argv[3]) if len(sys.argv) > 3 else None
    asyncio.run(visit(sys.argv[2], context))


main()
