"""Sends numbered records until it is told to stop: the producer of `cargo xtask groups`.

    group_producer.py BOOTSTRAP TOPIC PARTITIONS HISTORY RECORDS_PER_SECOND

The value of a record is its number, as text; every number is sent once, idempotently and with acks=all, to the partitions
in turn. The history, told in xtask/src/groups/history.rs, has one `acknowledged` line per record with its offset, and
`sending` lines with the number below which all may be in the log. SIGTERM ends it after a flush.
"""

import json
import os
import signal
import sys
import time

from confluent_kafka import KafkaException, Producer

TICK_SECONDS = 0.02


def main():
    """Sends, a little every tick."""
    bootstrap, topic, partitions, history, rate = sys.argv[1:]
    partitions, rate = int(partitions), int(rate)
    file = os.open(history, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    stopping = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))

    def write(event, **fields):
        line = json.dumps({"at": time.monotonic_ns(), "event": event, **fields}, separators=(",", ":"))
        os.write(file, line.encode() + b"\n")

    def delivered(error, message):
        if error is not None:
            write("failed", error=error.name())
            raise KafkaException(error)
        write("acknowledged", partition=message.partition(), offset=message.offset(), value=int(message.value()))

    producer = Producer({
        "bootstrap.servers": bootstrap, "client.id": "producer", "enable.idempotence": True, "linger.ms": 5,
    })
    write("started")
    number, due, last = 0, 0.0, time.monotonic()
    while not stopping:
        now = time.monotonic()
        # After a pause of the machine it goes on at its rate, and does not catch up in one burst.
        due, last = due + min(now - last, 1.0) * rate, now
        count = int(due)
        due -= count
        if count:
            write("sending", below=number + count)
        for _ in range(count):
            producer.produce(topic, value=str(number), partition=number % partitions, on_delivery=delivered)
            number += 1
        producer.poll(0)
        time.sleep(TICK_SECONDS)
    if producer.flush(60) != 0:
        write("failed", error="flush")
        raise SystemExit("records were left in the queue")
    write("closed")


main()
