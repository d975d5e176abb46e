import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * A member of a group that writes its life down: the Java kind of {@code cargo xtask groups}.
 *
 * <p>Command line: {@code GroupMember BOOTSTRAP GROUP TOPIC HISTORY NAME=VALUE...}; the names and the lines of the
 * history are told in xtask/src/groups/history.rs. SIGTERM makes it leave the group and end.
 */
public final class GroupMember implements ConsumerRebalanceListener {
    private static final Map<String, String> ASSIGNORS = Map.of(
        "range", "org.apache.kafka.clients.consumer.RangeAssignor",
        "roundrobin", "org.apache.kafka.clients.consumer.RoundRobinAssignor",
        "sticky", "org.apache.kafka.clients.consumer.StickyAssignor",
        "cooperative-sticky", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor");

    private final KafkaConsumer<String, String> consumer;
    private final String topic;
    private final FileOutputStream history;
    private final TreeSet<Integer> owned = new TreeSet<>();
    private final TreeMap<Integer, Long> uncommitted = new TreeMap<>();
    private long commits;
    private volatile boolean leaving;

    private GroupMember(Properties config, String topic, String history) throws IOException {
        this.consumer = new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer());
        this.topic = topic;
        this.history = new FileOutputStream(history, true);
    }

    public static void main(String[] arguments) throws Exception {
        Map<String, String> settings = new HashMap<>();
        for (int index = 4; index < arguments.length; index++) {
            String[] parts = arguments[index].split("=", 2);
            settings.put(parts[0], parts[1]);
        }
        var member = new GroupMember(config(arguments[0], arguments[1], settings), arguments[2], arguments[3]);
        Thread main = Thread.currentThread();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            member.leaving = true;
            try {
                main.join(20_000);
            } catch (InterruptedException interrupted) {
                Thread.currentThread().interrupt();
            }
        }));
        try {
            member.live(Long.parseLong(settings.get("commit.interval.ms")));
        } catch (RuntimeException failure) {
            member.write("\"event\":\"failed\",\"error\":\"" + nameOf(failure) + "\"");
            failure.printStackTrace();
            Runtime.getRuntime().halt(1);
        }
    }

    private static Properties config(String bootstrap, String group, Map<String, String> settings) {
        Properties config = new Properties();
        config.put("bootstrap.servers", bootstrap);
        config.put("client.id", "java");
        config.put("group.id", group);
        config.put("group.protocol", settings.get("protocol"));
        config.put("enable.auto.commit", "false");
        config.put("auto.offset.reset", "earliest");
        config.put("fetch.max.wait.ms", "100");
        config.put("max.poll.interval.ms", settings.get("rebalance.timeout.ms"));
        if (settings.get("protocol").equals("classic")) {
            config.put("session.timeout.ms", settings.get("session.timeout.ms"));
            config.put("heartbeat.interval.ms", settings.get("heartbeat.interval.ms"));
            config.put("partition.assignment.strategy", ASSIGNORS.get(settings.get("assignor")));
        } else {
            config.put("group.remote.assignor", settings.get("assignor"));
        }
        if (settings.containsKey("instance")) {
            config.put("group.instance.id", settings.get("instance"));
        }
        return config;
    }

    private void live(long commitIntervalMs) {
        write("\"event\":\"started\"");
        consumer.subscribe(List.of(topic), this);
        long committed = System.nanoTime();
        while (!leaving) {
            process(consumer.poll(Duration.ofMillis(100)));
            if (System.nanoTime() - committed > commitIntervalMs * 1_000_000) {
                commit(uncommitted.keySet());
                committed = System.nanoTime();
            }
        }
        write("\"event\":\"closing\"");
        consumer.close();
        write("\"event\":\"closed\"");
    }

    /** Writing the line is the processing. */
    private void process(ConsumerRecords<String, String> records) {
        for (TopicPartition partition : records.partitions()) {
            List<ConsumerRecord<String, String>> run = records.records(partition);
            int from = 0;
            for (int index = 1; index <= run.size(); index++) {
                if (index == run.size() || run.get(index).offset() != run.get(index - 1).offset() + 1) {
                    List<ConsumerRecord<String, String>> dense = run.subList(from, index);
                    String values = dense.stream().map(ConsumerRecord::value).collect(Collectors.joining(","));
                    write("\"event\":\"records\",\"partition\":" + partition.partition() + ",\"offset\":"
                        + dense.get(0).offset() + ",\"values\":[" + values + "]");
                    from = index;
                }
            }
            uncommitted.put(partition.partition(), run.get(run.size() - 1).offset() + 1);
        }
    }

    private void commit(Collection<Integer> partitions) {
        Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
        TreeMap<Integer, Long> what = new TreeMap<>(uncommitted);
        what.keySet().retainAll(partitions);
        if (what.isEmpty()) {
            return;
        }
        what.forEach((partition, offset) ->
            offsets.put(new TopicPartition(topic, partition), new OffsetAndMetadata(offset)));
        long id = ++commits;
        String pairs = what.entrySet().stream().map(entry -> "[" + entry.getKey() + "," + entry.getValue() + "]")
            .collect(Collectors.joining(","));
        write("\"event\":\"committing\",\"id\":" + id + ",\"generation\":" + generation() + ",\"offsets\":[" + pairs + "]");
        String outcome = "\"ok\"";
        try {
            consumer.commitSync(offsets, Duration.ofSeconds(10));
            what.forEach(uncommitted::remove);
        } catch (RuntimeException failure) {
            // A refusal is told by its own exception; a retriable one, or a time-out, leaves open what happened.
            boolean refused = failure instanceof org.apache.kafka.clients.consumer.CommitFailedException
                || failure instanceof org.apache.kafka.common.errors.RebalanceInProgressException
                || failure instanceof org.apache.kafka.common.errors.FencedInstanceIdException
                || !(failure instanceof RetriableException);
            outcome = (refused ? "\"refused\"" : "\"unknown\"") + ",\"error\":\"" + nameOf(failure) + "\"";
        }
        write("\"event\":\"committed\",\"id\":" + id + ",\"outcome\":" + outcome);
    }

    @Override
    public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
        owned.addAll(numbers(partitions));
        write("\"event\":\"assigned\",\"generation\":" + generation() + ",\"partitions\":" + numbers(partitions)
            + ",\"owned\":" + owned);
    }

    @Override
    public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
        int generation = generation();
        commit(numbers(partitions));
        drop(partitions);
        write("\"event\":\"revoked\",\"generation\":" + generation + ",\"partitions\":" + numbers(partitions));
    }

    @Override
    public void onPartitionsLost(Collection<TopicPartition> partitions) {
        drop(partitions);
        write("\"event\":\"lost\",\"partitions\":" + numbers(partitions));
    }

    private void drop(Collection<TopicPartition> partitions) {
        TreeSet<Integer> gone = numbers(partitions);
        owned.removeAll(gone);
        uncommitted.keySet().removeAll(gone);
    }

    private int generation() {
        return consumer.groupMetadata().generationId();
    }

    private static TreeSet<Integer> numbers(Collection<TopicPartition> partitions) {
        return partitions.stream().map(TopicPartition::partition).collect(Collectors.toCollection(TreeSet::new));
    }

    private static String nameOf(RuntimeException failure) {
        return failure.getClass().getSimpleName();
    }

    /** One write per line, so that a kill leaves whole lines. */
    private void write(String fields) {
        String line = "{\"at\":" + System.nanoTime() + "," + fields + "}\n";
        try {
            history.write(line.getBytes(StandardCharsets.UTF_8));
        } catch (IOException failure) {
            throw new java.io.UncheckedIOException(failure);
        }
    }
}
