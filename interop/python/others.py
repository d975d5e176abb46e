"""Python's own clients, each through what it is used for: create, produce, consume in a group, commit, read back.

    others.py BOOTSTRAP

kafka-python speaks mostly flexible versions, aiokafka almost only rigid ones of years ago. Every check is an assertion;
the line printed at the end says which clients there were.
"""

import asyncio
import sys

import aiokafka
import kafka
from kafka.admin import NewTopic

COUNT = 200


def kafka_python(bootstrap):
    """The synchronous client."""
    topic, group = "others-kafka-python", "others-kafka-python"
    admin = kafka.KafkaAdminClient(bootstrap_servers=bootstrap)
    admin.create_topics([NewTopic(topic, 3, 1)])
    assert topic in admin.list_topics()
    for compression in (None, "gzip"):
        producer = kafka.KafkaProducer(bootstrap_servers=bootstrap, compression_type=compression)
        sent = [producer.send(topic, key=b"k%d" % n, value=b"v%d" % n, headers=[("h", b"1")]) for n in range(COUNT // 2)]
        assert all(future.get(30).offset >= 0 for future in sent)
        producer.close()
    consumer = kafka.KafkaConsumer(topic, bootstrap_servers=bootstrap, group_id=group, auto_offset_reset="earliest",
                                   consumer_timeout_ms=30_000)
    read = []
    for record in consumer:
        read.append(record)
        if len(read) == COUNT:
            break
    assert all(record.headers == [("h", b"1")] for record in read)
    consumer.commit()
    partitions = [kafka.TopicPartition(topic, number) for number in range(3)]
    assert sum(consumer.committed(partition) or 0 for partition in partitions) == COUNT
    assert sum(consumer.end_offsets(partitions).values()) == COUNT
    consumer.close()
    admin.delete_topics([topic])
    admin.close()


async def aio(bootstrap):
    """The asynchronous client."""
    topic = "others-aiokafka"
    producer = aiokafka.AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True, compression_type="gzip")
    await producer.start()
    for number in range(COUNT):
        await producer.send_and_wait(topic, b"v%d" % number, key=b"k%d" % number)
    await producer.stop()
    consumer = aiokafka.AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, group_id=topic, auto_offset_reset="earliest")
    await consumer.start()
    values = [(await asyncio.wait_for(consumer.getone(), 30)).value for _ in range(COUNT)]
    assert sorted(values) == sorted(b"v%d" % number for number in range(COUNT))
    await consumer.commit()
    await consumer.stop()


kafka_python(sys.argv[1])
asyncio.run(aio(sys.argv[1]))
print(f"kafka-python {kafka.__version__}, aiokafka {aiokafka.__version__}: all as it should be")
