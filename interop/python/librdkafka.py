"""The librdkafka column of the interop matrix.

    librdkafka.py create BOOTSTRAP PARTITIONS TOPIC...   topics that keep records of any age
    librdkafka.py produce BOOTSTRAP TOPIC CODEC FILE     lines `timestamp <tab> key <tab> value` become records
    librdkafka.py consume BOOTSTRAP TOPIC FILE           records become lines `partition offset timestamp key value`

A `~` in place of a key is a null key. The producer is idempotent and waits for all acknowledgements; keys choose their
partition as the Java client does. The consumer is assigned, belongs to no group, and ends at the high watermarks that
it saw at its start.
"""

import sys
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

NULL = "~"


def create(bootstrap, partitions, *topics):
    """Creates every topic; one that cannot be created ends the program."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "client.id": "librdkafka"})
    wanted = [NewTopic(topic, int(partitions), 1, config={"retention.ms": "-1"}) for topic in topics]
    for future in admin.create_topics(wanted, request_timeout=30).values():
        future.result()


def produce(bootstrap, topic, codec, path):
    """Sends every line; any failed delivery ends the program."""
    producer = Producer({
        "bootstrap.servers": bootstrap, "client.id": "librdkafka", "compression.type": codec, "linger.ms": 5,
        "enable.idempotence": True, "partitioner": "murmur2_random", "queue.buffering.max.messages": 1_000_000,
    })

    def delivered(error, _message):
        if error is not None:
            raise KafkaException(error)

    with open(path, encoding="utf-8") as lines:
        for line in lines:
            timestamp, key, value = line.rstrip("\n").split("\t")
            while True:
                try:
                    producer.produce(topic, value=value, key=None if key == NULL else key, timestamp=int(timestamp),
                                     on_delivery=delivered)
                    break
                except BufferError:
                    producer.poll(0.1)
            producer.poll(0)
    if producer.flush(120) != 0:
        raise SystemExit("records were left in the queue")


def consume(bootstrap, topic, path):
    """Reads every partition to its end."""
    consumer = Consumer({
        "bootstrap.servers": bootstrap, "client.id": "librdkafka", "group.id": "unused", "enable.auto.commit": False,
        "check.crcs": True, "fetch.wait.max.ms": 100,
    })
    partitions = consumer.list_topics(topic, 30).topics[topic].partitions
    left = {}
    for partition in partitions:
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), 30)
        if high > low:
            left[partition] = high
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in left])
    with open(path, "w", encoding="utf-8") as out:
        last_progress = time.monotonic()
        while left:
            messages = consumer.consume(5_000, 0.2)
            if messages:
                last_progress = time.monotonic()
            elif time.monotonic() - last_progress > 30:
                raise SystemExit(f"nothing came for 30 s; left: {left}")
            for message in messages:
                if message.error():
                    raise KafkaException(message.error())
                key = message.key()
                out.write(f"{message.partition()}\t{message.offset()}\t{message.timestamp()[1]}\t"
                          f"{NULL if key is None else key.decode()}\t{message.value().decode()}\n")
                if left.get(message.partition()) == message.offset() + 1:
                    del left[message.partition()]
    consumer.close()


{"create": create, "produce": produce, "consume": consume}[sys.argv[1]](*sys.argv[2:])
