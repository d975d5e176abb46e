"""What `cargo xtask interop` prepares before it compares the answers of kafka-consumer-groups.sh.

    group_script.py seed BOOTSTRAP BASE_MS            two topics with records ten minutes apart from BASE_MS on, and the
                                                      groups `done` (all read), `half` (some read) and `two` (both topics)
    group_script.py stay BOOTSTRAP GROUP PROTOCOL     a member of a group that has read `orders` and stays until SIGTERM;
                                                      prints `ready` once everything is read and committed
"""

import signal
import sys

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

TOPICS = {"orders": 3, "payments": 2}
PER_PARTITION = 10


def seed(bootstrap, base_ms):
    """Topics, records and idle groups: the same on every broker."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    topics = [NewTopic(name, count, 1, config={"retention.ms": "-1"}) for name, count in TOPICS.items()]
    for future in admin.create_topics(topics, request_timeout=30).values():
        future.result()
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True})
    for name, count in TOPICS.items():
        for partition in range(count):
            for number in range(PER_PARTITION):
                producer.produce(name, value=f"{number}", partition=partition,
                                 timestamp=int(base_ms) + number * 600_000)
    if producer.flush(30) != 0:
        raise SystemExit("records were left in the queue")
    commit(bootstrap, "done", {("orders", partition): PER_PARTITION for partition in range(3)})
    commit(bootstrap, "half", {("orders", 0): 4, ("orders", 2): 7})
    commit(bootstrap, "two", {(name, partition): 5 for name, count in TOPICS.items() for partition in range(count)})


def commit(bootstrap, group, offsets):
    """Commits as a consumer that has assigned itself."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "enable.auto.commit": False})
    wanted = [TopicPartition(topic, partition, offset) for (topic, partition), offset in offsets.items()]
    consumer.assign(wanted)
    for answer in consumer.commit(offsets=wanted, asynchronous=False):
        if answer.error is not None:
            raise KafkaException(answer.error)
    consumer.close()


def stay(bootstrap, group, protocol):
    """A member that has nothing more to read."""
    stopping = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    config = {"bootstrap.servers": bootstrap, "client.id": f"{group}-client", "group.id": group,
              "group.protocol": protocol, "enable.auto.commit": False, "auto.offset.reset": "earliest"}
    if protocol == "classic":
        config["partition.assignment.strategy"] = "range"
    consumer = Consumer(config)
    consumer.subscribe(["orders"])
    left = TOPICS["orders"] * PER_PARTITION
    while not stopping:
        message = consumer.poll(0.1)
        if message is None or message.error():
            continue
        left -= 1
        if left == 0:
            consumer.commit(asynchronous=False)
            print("ready", flush=True)
    consumer.close()


{"seed": seed, "stay": stay}[sys.argv[1]](*sys.argv[2:])
