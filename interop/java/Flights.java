import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * The Java column of the interop matrix: {@code Flights produce BOOTSTRAP TOPIC CODEC FILE} and
 * {@code Flights consume BOOTSTRAP TOPIC FILE}, with the lines that interop/python/librdkafka.py describes.
 *
 * <p>All settings that are not named here are the client's defaults: idempotent, acks=all, murmur2 by key.
 */
public final class Flights {
    private static final String NULL = "~";

    private Flights() {}

    public static void main(String[] arguments) throws Exception {
        switch (arguments[0]) {
            case "produce" -> produce(arguments[1], arguments[2], arguments[3], Path.of(arguments[4]));
            case "consume" -> consume(arguments[1], arguments[2], Path.of(arguments[3]));
            default -> throw new IllegalArgumentException(arguments[0]);
        }
    }

    private static void produce(String bootstrap, String topic, String codec, Path path) throws Exception {
        Properties config = new Properties();
        config.put("bootstrap.servers", bootstrap);
        config.put("client.id", "java");
        config.put("compression.type", codec);
        AtomicReference<Exception> failure = new AtomicReference<>();
        try (var producer = new KafkaProducer<>(config, new StringSerializer(), new StringSerializer());
                BufferedReader lines = Files.newBufferedReader(path)) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                String[] parts = line.split("\t", 3);
                String key = parts[1].equals(NULL) ? null : parts[1];
                producer.send(new ProducerRecord<>(topic, null, Long.valueOf(parts[0]), key, parts[2]),
                    (metadata, error) -> failure.compareAndSet(null, error));
            }
            producer.flush();
        }
        if (failure.get() != null) {
            throw failure.get();
        }
    }

    private static void consume(String bootstrap, String topic, Path path) throws Exception {
        Properties config = new Properties();
        config.put("bootstrap.servers", bootstrap);
        config.put("client.id", "java");
        config.put("enable.auto.commit", "false");
        config.put("max.poll.records", "10000");
        try (var consumer = new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer());
                BufferedWriter out = Files.newBufferedWriter(path)) {
            List<TopicPartition> partitions = consumer.partitionsFor(topic).stream()
                .map(info -> new TopicPartition(topic, info.partition())).toList();
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            Map<TopicPartition, Long> left = new HashMap<>(consumer.endOffsets(partitions));
            left.values().removeIf(end -> end == 0);
            long deadline = System.nanoTime() + Duration.ofSeconds(120).toNanos();
            while (!left.isEmpty()) {
                ConsumerRecords<String, String> records = consumer.poll(Duration.ofSeconds(10));
                for (ConsumerRecord<String, String> record : records) {
                    out.write(record.partition() + "\t" + record.offset() + "\t" + record.timestamp() + "\t"
                        + (record.key() == null ? NULL : record.key()) + "\t" + record.value() + "\n");
                }
                left.entrySet().removeIf(entry -> consumer.position(entry.getKey()) >= entry.getValue());
                if (System.nanoTime() > deadline) {
                    throw new IllegalStateException("not at the end after 120 s: " + left);
                }
            }
        }
    }
}
