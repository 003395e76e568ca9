"""Read Homeostat's audit trail as any other system would, and verify that nobody has tampered with it.

    python consume_actions.py --bootstrap localhost:9092          # follow
    python consume_actions.py --bootstrap localhost:9092 --once   # what is there now; exit status 1 if the chain is broken

Needs aiokafka and nothing of Homeostat. The events are CloudEvents 1.0 in Kafka's binary mode: attributes in `ce_*`
headers, one JSON record as body. Each environment has its own chain: records count from 1, `previous` is the digest of
the record before, `digest` is SHA-256 over the body with the value of its last field, `digest` itself, emptied.
"""

import argparse
import asyncio
import hashlib
import json
import sys

from aiokafka import AIOKafkaConsumer

TOPIC = "autonomous.actions"


def digest_of(body: bytes) -> str:
    """What the record's digest has to be."""
    head, _, _ = body.rpartition(b'"digest":"')
    return hashlib.sha256(head + b'"digest":""}').hexdigest()


class Chain:
    """One environment's records so far."""

    def __init__(self) -> None:
        self.sequence, self.digest, self.seen = 0, "", {}

    def check(self, record: dict, body: bytes) -> str:
        """What is wrong with the next record; "" if nothing is."""
        number, digest = record["sequence"], record["digest"]
        if digest != digest_of(body):
            return "edited: its digest does not match its content"
        if self.seen.get(number) == digest:
            return ""  # delivered again, unchanged: at-least-once delivery may do that
        last, before = self.sequence, self.digest
        self.seen[number] = digest
        if number > last:
            self.sequence, self.digest = number, digest
        if not last and number > 1:
            return f"records 1 to {number - 1} are not on the topic"
        if number != last + 1:
            return f"out of order, or records are missing: it follows record {last}"
        return "" if record["previous"] == before else "it does not continue the record before: that one was replaced"


def show(message, chains: dict) -> bool:
    """Print one event; whether it is a good continuation of its chain."""
    headers = {name: value.decode() for name, value in message.headers}
    record = json.loads(message.value)
    problem = chains.setdefault(record["environment"], Chain()).check(record, message.value)
    if headers.get("ce_specversion") != "1.0" or headers.get("ce_id") != record["id"]:
        problem = problem or "its CloudEvents headers do not match it"
    mark = "ok " if not problem else "BAD"
    print(f"{mark} {headers.get('ce_time', '?')} {record['id']:<16} {headers.get('ce_type', '?'):<32} {record['text']}")
    if problem:
        print(f"    {problem}")
    return not problem


async def consume(bootstrap: str, once: bool) -> bool:
    """Read every event; whether all chains are intact."""
    consumer = AIOKafkaConsumer(
        TOPIC,
        bootstrap_servers=bootstrap,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        fetch_max_wait_ms=100,
    )
    await consumer.start()
    try:
        ends, chains, good = await consumer.end_offsets(list(consumer.assignment())), {}, True
        while not once or any([await consumer.position(p) < end for p, end in ends.items()]):
            batches = await consumer.getmany(timeout_ms=500)
            for messages in batches.values():
                for message in messages:
                    good = show(message, chains) and good
        for environment, chain in sorted(chains.items()):
            print(f"{environment}: {chain.sequence} records, head {chain.digest[:16]}…")
        return good
    finally:
        await consumer.stop()


def main() -> int:
    """Exit status 0 if every chain is intact."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bootstrap", default="localhost:9092", help="host:port[,host:port] of the broker")
    parser.add_argument("--once", action="store_true", help="stop at the present end instead of following")
    arguments = parser.parse_args()
    try:
        return 0 if asyncio.run(consume(arguments.bootstrap, arguments.once)) else 1
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
