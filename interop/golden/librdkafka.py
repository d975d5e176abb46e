"""Speaks every API that librdkafka has and ottla serves, once, so that record.py can see the frames."""

import sys

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic, OffsetSpec, ResourceType,
)

bootstrap = sys.argv[1]
topic = sys.argv[2]
base = {"bootstrap.servers": bootstrap, "client.id": "librdkafka-golden"}

admin = AdminClient(base)
for future in admin.create_topics([NewTopic(topic, 2, 1, config={"retention.ms": "3600000"})]).values():
    future.result()
for future in admin.create_partitions([NewPartitions(topic, 3)]).values():
    future.result()

producer = Producer({**base, "enable.idempotence": True, "compression.type": "lz4", "linger.ms": 20})
for number in range(20):
    producer.produce(topic, key=f"k{number % 3}", value=f"value {number}", headers=[("h", b"1"), ("h", None)])
producer.flush()
Producer({**base, "acks": 1, "compression.type": "none"}).flush()
plain = Producer({**base, "acks": 1})
plain.produce(topic, value=b"no key", partition=0, timestamp=1357034400000)
plain.flush()

transactional = Producer({**base, "transactional.id": "golden-rd"})
transactional.init_transactions()
transactional.begin_transaction()
transactional.produce(topic, value=b"in a transaction", partition=1)
transactional.commit_transaction()

consumer = Consumer({**base, "group.id": "golden-rd", "auto.offset.reset": "earliest", "enable.auto.commit": False,
                     "fetch.wait.max.ms": 100, "session.timeout.ms": 6000, "heartbeat.interval.ms": 500})
consumer.subscribe([topic])
seen = 0
while seen < 22:
    message = consumer.poll(10)
    seen += message is not None and message.error() is None
consumer.commit(asynchronous=False)
consumer.poll(1.5)
consumer.committed([TopicPartition(topic, 0)])
consumer.offsets_for_times([TopicPartition(topic, 0, 1357034400000)])
consumer.get_watermark_offsets(TopicPartition(topic, 0))
consumer.close()

admin.describe_cluster().result()
admin.list_topics(topic)
for future in admin.describe_topics(__import__("confluent_kafka").TopicCollection([topic])).values():
    future.result()
resource = ConfigResource(ResourceType.TOPIC, topic)
for future in admin.describe_configs([resource]).values():
    future.result()
change = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[
    ConfigEntry("retention.ms", "7200000", incremental_operation=AlterConfigOpType.SET)])
for future in admin.incremental_alter_configs([change]).values():
    future.result()
admin.list_consumer_groups().result()
for future in admin.describe_consumer_groups(["golden-rd"]).values():
    future.result()
for future in admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions("golden-rd")]).values():
    future.result()
for future in admin.list_offsets({TopicPartition(topic, 0): OffsetSpec.max_timestamp()}).values():
    future.result()
for future in admin.delete_records([TopicPartition(topic, 0, 1)]).values():
    future.result()
for future in admin.delete_consumer_groups(["golden-rd"]).values():
    future.result()
for future in admin.delete_topics([topic]).values():
    future.result()
print("librdkafka: every API spoken")
