#!/usr/bin/env python3
"""A TCP proxy that holds every piece of data up for MS milliseconds on its way, in each direction.

    bench/delay.py 127.0.0.1:5555 127.0.0.1:5432 0.5 &      one round trip takes 1 ms more
    BENCH_PG=127.0.0.1:5555 bench/migrations/run.sh         the same comparison, with a network between
"""
import asyncio
import sys


async def carry(reader, writer, seconds):
    """Passes on what arrives, in order, each piece `seconds` after it came."""
    loop = asyncio.get_running_loop()
    queue = asyncio.Queue()

    async def deliver():
        while (item := await queue.get()) is not None:
            due, data = item
            if (wait := due - loop.time()) > 0:
                await asyncio.sleep(wait)
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()

    delivery = asyncio.create_task(deliver())
    try:
        while data := await reader.read(1 << 16):
            queue.put_nowait((loop.time() + seconds, data))
    except ConnectionError:
        pass
    queue.put_nowait(None)
    await asyncio.gather(delivery, return_exceptions=True)


async def main(listen, target, ms):
    host, port = listen.rsplit(":", 1)
    to_host, to_port = target.rsplit(":", 1)

    async def serve(reader, writer):
        try:
            there_reader, there_writer = await asyncio.open_connection(to_host, int(to_port))
        except OSError as error:
            print(f"{target}: {error}", file=sys.stderr)
            writer.close()
            return
        await asyncio.gather(carry(reader, there_writer, ms / 1000), carry(there_reader, writer, ms / 1000))
        writer.close()
        there_writer.close()

    server = await asyncio.start_server(serve, host, int(port))
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    try:
        asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
    except KeyboardInterrupt:
        pass
