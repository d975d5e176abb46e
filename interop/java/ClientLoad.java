import java.lang.management.ManagementFactory;
import java.time.Duration;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * The Java column of the client benches: {@code ClientLoad ACTION BOOTSTRAP TOPIC RECORDS WARM VALUE_BYTES [KEY=VALUE]...},
 * which prints {@code report RECORDS BYTES WALL_S CPU_S} for the records after the warm ones.
 */
public final class ClientLoad {
    private final String bootstrap;
    private final String topic;
    private final long records;
    private final long warm;
    private final int valueBytes;

    private ClientLoad(String[] arguments) {
        bootstrap = arguments[1];
        topic = arguments[2];
        records = Long.parseLong(arguments[3]);
        warm = Long.parseLong(arguments[4]);
        valueBytes = Integer.parseInt(arguments[5]);
    }

    public static void main(String[] arguments) throws Exception {
        ClientLoad load = new ClientLoad(arguments);
        Properties config = new Properties();
        config.put("bootstrap.servers", load.bootstrap);
        for (int place = 6; place < arguments.length; place++) {
            String[] parts = arguments[place].split("=", 2);
            config.put(parts[0], parts[1]);
        }
        switch (arguments[0]) {
            case "produce" -> load.produce(config);
            case "consume" -> load.consume(config);
            default -> throw new IllegalArgumentException(arguments[0]);
        }
    }

    private void produce(Properties config) throws Exception {
        byte[] value = new byte[valueBytes];
        for (int place = 0; place < valueBytes; place++) {
            value[place] = (byte) (place * 31 % 251);
        }
        AtomicReference<Exception> failure = new AtomicReference<>();
        try (var producer = new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer())) {
            send(producer, value, warm, failure);
            long cpu = cpuNanos();
            long wall = System.nanoTime();
            send(producer, value, records, failure);
            report(records, records * valueBytes, System.nanoTime() - wall, cpuNanos() - cpu);
        }
        if (failure.get() != null) {
            throw failure.get();
        }
    }

    private void send(KafkaProducer<byte[], byte[]> producer, byte[] value, long count, AtomicReference<Exception> failure) {
        for (long sent = 0; sent < count; sent++) {
            producer.send(new ProducerRecord<>(topic, value), (metadata, error) -> {
                if (error != null) {
                    failure.compareAndSet(null, error);
                }
            });
        }
        producer.flush();
    }

    private void consume(Properties config) {
        config.put("enable.auto.commit", "false");
        read(config, warm);
        long cpu = cpuNanos();
        long wall = System.nanoTime();
        long bytes = read(config, warm + records);
        report(warm + records, bytes, System.nanoTime() - wall, cpuNanos() - cpu);
    }

    /** The bytes of the first records of the topic's values, with a consumer of their own. */
    private long read(Properties config, long count) {
        try (var consumer = new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            List<TopicPartition> partitions = consumer.partitionsFor(topic).stream()
                .map(info -> new TopicPartition(topic, info.partition()))
                .toList();
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            long seen = 0;
            long bytes = 0;
            while (seen < count) {
                var polled = consumer.poll(Duration.ofSeconds(60));
                if (polled.isEmpty()) {
                    throw new IllegalStateException("only " + seen + " records came");
                }
                for (ConsumerRecord<byte[], byte[]> record : polled) {
                    bytes += record.value().length;
                    seen++;
                }
            }
            return bytes;
        }
    }

    private static long cpuNanos() {
        var system = (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        return system.getProcessCpuTime();
    }

    private static void report(long records, long bytes, long wallNanos, long cpuNanos) {
        System.out.println("report " + records + " " + bytes + " " + wallNanos / 1e9 + " " + cpuNanos / 1e9);
    }
}
