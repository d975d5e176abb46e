import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.ControlRecordType;
import org.apache.kafka.common.record.internal.EndTransactionMarker;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MemoryRecordsBuilder;
import org.apache.kafka.common.record.internal.MutableRecordBatch;
import org.apache.kafka.common.record.internal.Record;
import org.apache.kafka.common.record.internal.RecordBatch;

/**
 * Record batches of Java's own making, and Java's opinion of ours.
 *
 * <p>{@code write DIRECTORY} writes one batch per codec, the same records in each; protocol/tests/records_golden.rs
 * knows them. {@code read FILE ...} checks each file as a consumer would and prints count and content hash.
 */
public final class Batches {
    private Batches() {}

    static final int COUNT = 800;

    public static void main(String[] arguments) throws Exception {
        if (arguments[0].equals("write")) {
            Path directory = Path.of(arguments[1]);
            for (String codec : new String[] {"none", "gzip", "snappy", "lz4", "zstd"}) {
                int count = codec.equals("none") ? 40 : COUNT;
                Files.write(directory.resolve("java-" + codec + ".bin"), build(codec, count));
            }
            for (ControlRecordType type : new ControlRecordType[] {ControlRecordType.COMMIT, ControlRecordType.ABORT}) {
                MemoryRecords marker = MemoryRecords.withEndTransactionMarker(
                    0L, 1_700_000_000_123L, 0, 4711L, (short) 3, new EndTransactionMarker(type, 9));
                Files.write(directory.resolve("java-" + type.name().toLowerCase() + ".bin"), bytes(marker));
            }
            return;
        }
        for (int index = 1; index < arguments.length; index++) {
            read(Path.of(arguments[index]));
        }
    }

    static byte[] build(String codec, int count) {
        Compression compression = Compression.of(codec).build();
        MemoryRecordsBuilder builder = MemoryRecords.builder(ByteBuffer.allocate(1 << 20), RecordBatch.MAGIC_VALUE_V2,
            compression, TimestampType.CREATE_TIME, 0L, RecordBatch.NO_TIMESTAMP, 4711L, (short) 3, 42, true, -1);
        long random = 1;
        for (int i = 0; i < count; i++) {
            random = random * 6364136223846793005L + 1442695040888963407L;
            long timestamp = 1_700_000_000_000L + (i * 37L) % 1000 - 500;
            byte[] key = i % 3 == 0 ? null : ("key-" + i % 17).getBytes(StandardCharsets.UTF_8);
            String text = "value " + i + " " + "abcdefghij".repeat(8) + " " + Long.toHexString(random);
            byte[] value = i % 7 == 0 ? null : text.getBytes(StandardCharsets.UTF_8);
            Header[] headers = i % 5 != 0 ? Record.EMPTY_HEADERS : new Header[] {
                new RecordHeader("größe", ("x" + i).getBytes(StandardCharsets.UTF_8)), new RecordHeader("", (byte[]) null),
            };
            builder.append(timestamp, key, value, headers);
        }
        return bytes(builder.build());
    }

    static byte[] bytes(MemoryRecords records) {
        ByteBuffer buffer = records.buffer().duplicate();
        byte[] bytes = new byte[buffer.remaining()];
        buffer.get(bytes);
        return bytes;
    }

    static void read(Path file) throws Exception {
        MemoryRecords records = MemoryRecords.readableRecords(ByteBuffer.wrap(Files.readAllBytes(file)));
        for (MutableRecordBatch batch : records.batches()) {
            batch.ensureValid();
            int count = 0;
            long hash = 17;
            for (Record record : batch) {
                count++;
                hash = hash * 31 + record.timestamp();
                hash = hash * 31 + (record.hasKey() ? record.key().hashCode() : 0);
                hash = hash * 31 + (record.hasValue() ? record.value().hashCode() : 0);
                for (Header header : record.headers()) {
                    hash = hash * 31 + header.key().hashCode();
                    hash = hash * 31 + (header.value() == null ? 0 : ByteBuffer.wrap(header.value()).hashCode());
                }
            }
            System.out.printf("%s %s records=%d hash=%016x max_timestamp=%d%n", file.getFileName(),
                batch.compressionType().name, count, hash, batch.maxTimestamp());
        }
    }
}
