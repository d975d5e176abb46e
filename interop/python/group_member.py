"""A member of a group that writes its life down: the librdkafka kind of `cargo xtask groups`.

    group_member.py BOOTSTRAP GROUP TOPIC HISTORY NAME=VALUE...

The names and the lines of the history are told in xtask/src/groups/history.rs. SIGTERM makes it leave the group and end.
"""

import json
import os
import signal
import struct
import sys
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

# After these nobody knows whether the broker has taken the commit; every other error is a refusal.
UNKNOWN = {KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError.REQUEST_TIMED_OUT, KafkaError._DESTROY}


class Member:
    """The consumer, what it owns, and what it has processed and not yet committed."""

    def __init__(self, bootstrap, group, topic, history, settings):
        self.topic = topic
        self.file = os.open(history, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.owned = set()
        self.uncommitted = {}
        self.commits = 0
        self.leaving = False
        config = {
            "bootstrap.servers": bootstrap, "client.id": "librdkafka", "group.id": group,
            "group.protocol": settings["protocol"], "enable.auto.commit": False, "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 100, "max.poll.interval.ms": int(settings["rebalance.timeout.ms"]),
        }
        if settings["protocol"] == "classic":
            config["session.timeout.ms"] = int(settings["session.timeout.ms"])
            config["heartbeat.interval.ms"] = int(settings["heartbeat.interval.ms"])
            config["partition.assignment.strategy"] = settings["assignor"]
        else:
            config["group.remote.assignor"] = settings["assignor"]
        if "instance" in settings:
            config["group.instance.id"] = settings["instance"]
        self.consumer = Consumer(config)

    def write(self, event, **fields):
        """One write per line, so that a kill leaves whole lines."""
        line = json.dumps({"at": time.monotonic_ns(), "event": event, **fields}, separators=(",", ":"))
        os.write(self.file, line.encode() + b"\n")

    def generation(self):
        """The generation, or the member epoch: the first number of librdkafka's serialised group metadata."""
        metadata = self.consumer.consumer_group_metadata()
        assert metadata.startswith(b"CGMDv2:"), metadata
        return struct.unpack_from("=i", metadata, len(b"CGMDv2:"))[0]

    def commit(self, partitions):
        """Commits what was processed of these partitions, and waits for the answer."""
        what = {number: self.uncommitted[number] for number in sorted(partitions) if number in self.uncommitted}
        if not what:
            return
        self.commits += 1
        offsets = [TopicPartition(self.topic, number, offset) for number, offset in what.items()]
        self.write("committing", id=self.commits, generation=self.generation(), offsets=list(what.items()))
        try:
            answers = self.consumer.commit(offsets=offsets, asynchronous=False)
            error = next((answer.error for answer in answers if answer.error is not None), None)
        except KafkaException as failure:
            error = failure.args[0]
        if error is None:
            for number in what:
                del self.uncommitted[number]
            self.write("committed", id=self.commits, outcome="ok")
        else:
            outcome = "unknown" if error.code() in UNKNOWN else "refused"
            self.write("committed", id=self.commits, outcome=outcome, error=error.name())

    def assigned(self, _consumer, partitions):
        """Partitions came."""
        numbers = sorted(partition.partition for partition in partitions)
        self.owned.update(numbers)
        self.write("assigned", generation=self.generation(), partitions=numbers, owned=sorted(self.owned))

    def revoked(self, _consumer, partitions):
        """Partitions go, in good order."""
        numbers = sorted(partition.partition for partition in partitions)
        generation = self.generation()
        self.commit(numbers)
        self.drop(numbers)
        self.write("revoked", generation=generation, partitions=numbers)

    def lost(self, _consumer, partitions):
        """Partitions are gone already."""
        numbers = sorted(partition.partition for partition in partitions)
        self.drop(numbers)
        self.write("lost", partitions=numbers)

    def drop(self, numbers):
        """Forgets partitions."""
        self.owned.difference_update(numbers)
        for number in numbers:
            self.uncommitted.pop(number, None)

    def leave(self, *_):
        """For the signal."""
        self.leaving = True

    def live(self, commit_interval):
        """Until it is told to leave."""
        self.write("started")
        self.consumer.subscribe([self.topic], on_assign=self.assigned, on_revoke=self.revoked, on_lost=self.lost)
        committed = time.monotonic()
        while not self.leaving:
            message = self.consumer.poll(0.1)
            if message is not None:
                self.process(message)
            if time.monotonic() - committed > commit_interval:
                self.commit(set(self.uncommitted))
                committed = time.monotonic()
        self.write("closing")
        self.consumer.close()
        self.write("closed")

    def process(self, message):
        """Writing the line is the processing."""
        if message.error():
            if message.error().retriable() or not message.error().fatal():
                print(message.error(), file=sys.stderr, flush=True)
                return
            self.write("failed", error=message.error().name())
            raise KafkaException(message.error())
        value = json.loads(message.value())
        self.write("records", partition=message.partition(), offset=message.offset(), values=[value])
        self.uncommitted[message.partition()] = message.offset() + 1


def main():
    """Reads the command line."""
    settings = dict(word.split("=", 1) for word in sys.argv[5:])
    member = Member(*sys.argv[1:5], settings)
    signal.signal(signal.SIGTERM, member.leave)
    member.live(int(settings["commit.interval.ms"]) / 1000)


main()
