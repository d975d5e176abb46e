"""Records Kafka frames: a TCP proxy between real clients and a real Apache Kafka.

What it is: the tool that made protocol/tests/golden. It listens where Kafka *advertises* itself, forwards every byte,
and writes one request and one response per (client, API, version), without their four-byte length prefixes.
What it is not: a part of any test run. The files it wrote are committed; this is kept so that they can be made again.

With `--cap KEY=MAX,...` the ApiVersions answer is edited on its way back, so that new clients speak the versions that
ottla serves. The client's directory name is the part of its client id before the first dash.
"""

import argparse
import asyncio
import pathlib
import struct

APIS = {
    0: "produce", 1: "fetch", 2: "list_offsets", 3: "metadata", 8: "offset_commit", 9: "offset_fetch",
    10: "find_coordinator", 11: "join_group", 12: "heartbeat", 13: "leave_group", 14: "sync_group",
    15: "describe_groups", 16: "list_groups", 18: "api_versions", 19: "create_topics", 20: "delete_topics",
    21: "delete_records", 22: "init_producer_id", 23: "offset_for_leader_epoch", 24: "add_partitions_to_txn",
    25: "add_offsets_to_txn", 26: "end_txn", 28: "txn_offset_commit", 32: "describe_configs", 33: "alter_configs",
    35: "describe_log_dirs", 37: "create_partitions", 42: "delete_groups", 44: "incremental_alter_configs",
    47: "offset_delete", 48: "describe_client_quotas", 49: "alter_client_quotas",
    50: "describe_user_scram_credentials", 60: "describe_cluster", 61: "describe_producers",
    68: "consumer_group_heartbeat", 69: "consumer_group_describe", 74: "list_config_resources",
    75: "describe_topic_partitions",
}
LARGEST_FRAME = 4096


class Recorder:
    """Keeps the largest frame that is still small enough to commit, per client, API, version and direction."""

    def __init__(self, directory, caps):
        self.directory = pathlib.Path(directory)
        self.caps = caps
        self.sizes = {}

    def keep(self, client, key, version, direction, frame):
        """Writes the frame if it tells more than the one that is there."""
        if key not in APIS or len(frame) > LARGEST_FRAME:
            return
        path = self.directory / client / f"{APIS[key]}-v{version}-{direction}.bin"
        if self.sizes.get(path, -1) >= len(frame):
            return
        self.sizes[path] = len(frame)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(frame)

    def capped(self, frame, version):
        """An ApiVersions answer whose rows end where ottla's do. Every row has a fixed width, so it is edited in place."""
        frame = bytearray(frame)
        if version < 3:
            count, position, step = struct.unpack_from(">i", frame, 6)[0], 10, 6
        else:
            count, position, step = frame[6] - 1, 7, 7
            if frame[6] & 0x80:
                count, position = (frame[6] & 0x7F | frame[7] << 7) - 1, 8
        for row in range(count):
            key, _, maximum = struct.unpack_from(">hhh", frame, position + row * step)
            cap = self.caps.get(key, maximum)
            struct.pack_into(">h", frame, position + row * step + 4, min(cap, maximum))
        return bytes(frame)


async def frames(reader):
    """Yields the frames of one direction of one connection."""
    while True:
        try:
            size = struct.unpack(">i", await reader.readexactly(4))[0]
            yield await reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError):
            return


async def serve(recorder, target, reader, writer):
    """One client connection: requests are remembered by correlation id until their responses come back."""
    upstream_reader, upstream_writer = await asyncio.open_connection(*target)
    waiting = {}

    async def requests():
        async for frame in frames(reader):
            key, version, correlation, length = struct.unpack_from(">hhih", frame)
            client = frame[10:10 + length].decode().split("-")[0] if length > 0 else "unnamed"
            waiting[correlation] = (client, key, version)
            recorder.keep(client, key, version, "req", frame)
            upstream_writer.write(struct.pack(">i", len(frame)) + frame)
        upstream_writer.close()

    async def responses():
        async for frame in frames(upstream_reader):
            client, key, version = waiting.pop(struct.unpack_from(">i", frame)[0])
            if key == 18 and frame[4:6] == b"\0\0":
                frame = recorder.capped(frame, version)
            recorder.keep(client, key, version, "res", frame)
            writer.write(struct.pack(">i", len(frame)) + frame)
        writer.close()

    await asyncio.gather(requests(), responses(), return_exceptions=True)


async def main():
    """Serves until it is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listen", type=int, required=True)
    parser.add_argument("--target", required=True, help="host:port where Kafka is bound")
    parser.add_argument("--out", required=True)
    parser.add_argument("--cap", default="", help="API_KEY=MAX_VERSION,...")
    arguments = parser.parse_args()
    caps = {int(k): int(v) for k, v in (pair.split("=") for pair in arguments.cap.split(",") if pair)}
    host, port = arguments.target.rsplit(":", 1)
    recorder = Recorder(arguments.out, caps)
    server = await asyncio.start_server(
        lambda r, w: serve(recorder, (host, int(port)), r, w), "127.0.0.1", arguments.listen
    )
    async with server:
        await server.serve_forever()


asyncio.run(main())
