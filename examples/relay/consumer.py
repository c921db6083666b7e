"""Handles each Stripe event of topic stripe.events once, and says so, one JSON object a line.

Usage: python3 consumer.py [--kafka HOST:PORT] [--registry URL] [--topic NAME] [--group NAME] [--handled FILE]

Stripe delivers late, twice and in no order, and so the events stand in the topic. What has been handled is remembered
by event ID in a database (SQLite here), in one transaction with what handling did; only then the offset is committed.
So a crash in between handles nothing twice and leaves nothing out.
"""

import argparse
import io
import json
import signal
import sqlite3
import sys
import urllib.request
from datetime import datetime, timezone

import fastavro
from confluent_kafka import Consumer, KafkaException


class Schemas:
    """The schemas with which records were written, by the ID that stands before each record."""

    def __init__(self, registry):
        self.registry = registry.rstrip("/")
        self.known = {}

    def read(self, value):
        # Confluent's framing: a zero byte, the schema's ID in four bytes, the record.
        if len(value) < 5 or value[0] != 0:
            raise ValueError("no framed Avro record")
        number = int.from_bytes(value[1:5], "big")
        if number not in self.known:
            with urllib.request.urlopen(f"{self.registry}/schemas/ids/{number}", timeout=10) as answer:
                self.known[number] = fastavro.parse_schema(json.loads(json.load(answer)["schema"]))
        return fastavro.schemaless_reader(io.BytesIO(value[5:]), self.known[number])


def headers_of(message):
    return {name: (value or b"").decode() for name, value in message.headers() or []}


def handle(database, record, event):
    """What your system does with an event. Write to the same database, and it is done exactly once.

    What is done elsewhere (mail, another service) can happen twice after a crash: give the event's ID along there.
    """
    if event.get("object") == "v2.core.event":
        # A thin event only names what changed: fetch that from Stripe, with the context as Stripe-Context header.
        shape, about = "thin", (event.get("related_object") or {}).get("id")
    else:
        # A snapshot. It shows the object as it was at `created`; a later event may already have been handled.
        shape, about = "snapshot", ((event.get("data") or {}).get("object") or {}).get("id")
    return {
        "shape": shape,
        "type": record["type"],
        "workspace": record["workspace"],
        # By `livemode`: events of test mode and of sandboxes are "test". Give a sandbox a workspace of its own.
        "mode": record["mode"],
        # The connected account (Stripe Connect), None for the endpoint's own.
        "account": record["account"] or None,
        "created": datetime.fromtimestamp(record["created"] / 1000, timezone.utc).isoformat(),
        "object": about,
        "bytes": len(record["body"]),
    }


def process(database, message, schemas):
    record, headers = schemas.read(message.value()), headers_of(message)
    with database:  # One transaction.
        seen = database.execute(
            "INSERT OR IGNORE INTO handled (workspace, mode, id) VALUES (?, ?, ?)",
            (record["workspace"], record["mode"], record["id"]),
        )
        is_repeat = seen.rowcount == 0
        line = {"id": record["id"], "repeat": is_repeat}
        if not is_repeat:
            # The signature was checked over these very bytes.
            line |= handle(database, record, json.loads(record["body"]))
    # Hints, and rarely of use: the edge remembers some of what it relayed, the table above all of what was handled.
    for hint in ("duplicate", "maybe-duplicate", "traceparent"):
        if hint in headers:
            line[hint] = headers[hint]
    print(json.dumps(line), flush=True)


def main():
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("--kafka", default="127.0.0.1:9092")
    flags.add_argument("--registry", default="http://127.0.0.1:8082/apis/ccompat/v7")
    flags.add_argument("--topic", default="stripe.events")
    flags.add_argument("--group", default="stripe-consumer")
    flags.add_argument("--handled", default="handled.db", help="SQLite file of the events that were handled")
    flags = flags.parse_args()

    stopped = []
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stopped.append(True))
    database = sqlite3.connect(flags.handled)
    database.execute("CREATE TABLE IF NOT EXISTS handled (workspace, mode, id, PRIMARY KEY (workspace, mode, id))")
    schemas = Schemas(flags.registry)
    consumer = Consumer({
        "bootstrap.servers": flags.kafka,
        "group.id": flags.group,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
    })
    consumer.subscribe([flags.topic])
    try:
        while not stopped:
            message = consumer.poll(0.5)
            if message is None:
                continue
            if message.error():
                raise KafkaException(message.error())
            process(database, message, schemas)
            # For many events a second: once in a while, and before the end.
            try:
                consumer.commit(message, asynchronous=False)
            except KafkaException as error:
                # The next commit says the same, and the table knows what was handled.
                print(f"commit: {error}", file=sys.stderr)
    finally:
        consumer.close()
        database.close()


if __name__ == "__main__":
    main()
