"""Tell Homeostat of a deploy, a configuration change or a scaling, as the last step of a pipeline would.

    python announce_change.py --bootstrap localhost:9092 --service shop/cart --kind deploy --before 1.4.1 --after 1.4.2

Needs aiokafka and nothing of Homeostat. The partition is that of the environment: CRC-32 of its name modulo the number of
partitions, so that diagnosis sees the change beside the environment's telemetry.
"""

import argparse
import asyncio
import getpass
import json
import time
import zlib

from aiokafka import AIOKafkaProducer

TOPIC = "telemetry.changes"


async def announce(bootstrap: str, change: dict) -> None:
    """Put the change on the topic; returns once the broker has it."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all")
    await producer.start()
    try:
        partition = zlib.crc32(change["environment"].encode()) % len(await producer.partitions_for(TOPIC))
        body, key = json.dumps(change).encode(), change["service"].encode()
        await producer.send_and_wait(TOPIC, body, key=key, partition=partition)
    finally:
        await producer.stop()


def main() -> None:
    """Read the command line, send one change."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bootstrap", default="localhost:9092", help="host:port[,host:port] of the broker")
    parser.add_argument("--environment", default="default")
    parser.add_argument("--service", required=True, help="as telemetry names it: namespace/name, or name")
    parser.add_argument(
        "--kind", default="deploy", choices=["deploy", "config", "flag", "scale", "restart", "rollback", "other"]
    )
    parser.add_argument("--subject", default="", help="what exactly, such as flag/new-checkout")
    parser.add_argument("--before", default="", help="version or value before")
    parser.add_argument("--after", default="", help="version or value after")
    parser.add_argument("--text", default="", help="for people")
    parser.add_argument("--actor", default=getpass.getuser(), help="who did it")
    given = vars(parser.parse_args())
    asyncio.run(announce(given.pop("bootstrap"), {"version": 1, "time_ns": time.time_ns(), **given}))


if __name__ == "__main__":
    main()
