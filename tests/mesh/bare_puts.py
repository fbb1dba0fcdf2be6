"""Put to an etcd member every 20 ms and print when a put is acknowledged: `python bare_puts.py HOST:PORT`."""

import asyncio
import sys
import time

import grpc.aio

from chorus.mesh.etcd_api import PUT, codec, message


async def main(endpoint: str) -> None:
    channel = grpc.aio.insecure_channel(endpoint)
    put = channel.unary_unary(PUT[0], **codec(PUT))
    running = set()

    async def one(number: int) -> None:
        try:
            await put(message("PutRequest", key=b"bare", value=b"%d" % number), timeout=5.0)
        except grpc.aio.AioRpcError:
            return
        print(time.monotonic(), flush=True)

    number = 0
    while True:
        running.add(task := asyncio.create_task(one(number)))
        task.add_done_callback(running.discard)
        number += 1
        await asyncio.sleep(0.02)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
