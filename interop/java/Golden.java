import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ListConfigResourcesOptions;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.ScramCredentialInfo;
import org.apache.kafka.clients.admin.ScramMechanism;
import org.apache.kafka.clients.admin.UserScramCredentialUpsertion;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.quota.ClientQuotaAlteration;
import org.apache.kafka.common.quota.ClientQuotaEntity;
import org.apache.kafka.common.quota.ClientQuotaFilter;
import org.apache.kafka.common.quota.ClientQuotaFilterComponent;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Speaks every API that the Java client has and ottla serves, once, so that interop/golden/record.py sees the frames. */
public final class Golden {
    private static final String TIMEOUT = "consumer.session.timeout.ms";

    private Golden() {}

    public static void main(String[] arguments) throws Exception {
        String bootstrap = arguments[0];
        String topic = arguments[1];
        Properties base = new Properties();
        base.put("bootstrap.servers", bootstrap);
        base.put("client.id", "java-golden");
        try (Admin admin = Admin.create(base)) {
            admin.createTopics(List.of(new NewTopic(topic, 2, (short) 1).configs(Map.of("retention.ms", "3600000"))))
                .all().get();
            admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(3))).all().get();
            produce(base, topic);
            consume(base, topic, "classic", "golden-java");
            if (System.getenv("GOLDEN_CAPPED") == null) {
                consume(base, topic, "consumer", "golden-java-848");
                configure(admin);
            }
            administer(admin, topic);
        }
        System.out.println("java: every API spoken");
    }

    private static void produce(Properties base, String topic) throws Exception {
        Properties config = (Properties) base.clone();
        config.put("compression.type", "zstd");
        config.put("linger.ms", "20");
        try (var producer = new KafkaProducer<>(config, new StringSerializer(), new StringSerializer())) {
            for (int number = 0; number < 20; number++) {
                var headers = List.<org.apache.kafka.common.header.Header>of(
                    new RecordHeader("h", "1".getBytes()), new RecordHeader("h", (byte[]) null));
                producer.send(new ProducerRecord<>(topic, null, null, "k" + number % 3, "value " + number, headers));
            }
            producer.flush();
            producer.send(new ProducerRecord<>(topic, 0, 1357034400000L, null, "no key")).get();
        }
        if (System.getenv("GOLDEN_CAPPED") != null) {
            return; // The 4.x broker verifies partitions in Produce itself, so a client capped below version 12 cannot commit.
        }
        config.put("transactional.id", "golden-java");
        try (var producer = new KafkaProducer<>(config, new StringSerializer(), new StringSerializer())) {
            producer.initTransactions();
            producer.beginTransaction();
            producer.send(new ProducerRecord<>(topic, 1, null, "in a transaction"));
            producer.commitTransaction();
        }
    }

    private static void consume(Properties base, String topic, String protocol, String group) {
        Properties config = (Properties) base.clone();
        config.put("group.id", group);
        config.put("group.protocol", protocol);
        config.put("auto.offset.reset", "earliest");
        config.put("enable.auto.commit", "false");
        config.put("fetch.max.wait.ms", "100");
        if (protocol.equals("classic")) {
            config.put("heartbeat.interval.ms", "500");
        }
        try (var consumer = new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer())) {
            consumer.subscribe(List.of(topic));
            int seen = 0;
            while (seen < 21) {
                seen += consumer.poll(Duration.ofSeconds(1)).count();
            }
            consumer.commitSync();
            for (int round = 0; round < 15; round++) {
                consumer.poll(Duration.ofMillis(100));
            }
            TopicPartition first = new TopicPartition(topic, 0);
            consumer.committed(Set.of(first));
            consumer.offsetsForTimes(Map.of(first, 1357034400000L));
            consumer.endOffsets(Set.of(first));
        }
    }

    /** Configs of groups, quotas and SCRAM credentials. */
    private static void configure(Admin admin) throws Exception {
        ConfigResource group = new ConfigResource(ConfigResource.Type.GROUP, "golden-java-848");
        Collection<AlterConfigOp> change =
            List.of(new AlterConfigOp(new ConfigEntry(TIMEOUT, "50000"), AlterConfigOp.OpType.SET));
        admin.incrementalAlterConfigs(Map.of(group, change)).all().get();
        admin.describeConsumerGroups(List.of("golden-java-848")).all().get();
        admin.listConsumerGroupOffsets("golden-java-848").partitionsToOffsetAndMetadata().get();
        admin.listConfigResources(Set.of(ConfigResource.Type.GROUP), new ListConfigResourcesOptions()).all().get();
        var user = new ClientQuotaEntity(Map.of(ClientQuotaEntity.USER, "golden"));
        var rate = new ClientQuotaAlteration.Op("producer_byte_rate", 1234.0);
        admin.alterClientQuotas(List.of(new ClientQuotaAlteration(user, List.of(rate)))).all().get();
        admin.describeClientQuotas(ClientQuotaFilter.contains(
            List.of(ClientQuotaFilterComponent.ofEntity(ClientQuotaEntity.USER, "golden")))).entities().get();
        var hashed = new ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096);
        var credential = new UserScramCredentialUpsertion("golden", hashed, "secret");
        admin.alterUserScramCredentials(List.of(credential)).all().get();
        admin.describeUserScramCredentials(List.of("golden")).all().get();
    }

    private static void administer(Admin admin, String topic) throws Exception {
        TopicPartition first = new TopicPartition(topic, 0);
        admin.describeCluster().nodes().get();
        admin.describeTopics(List.of(topic)).allTopicNames().get();
        admin.listTopics().names().get();
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        admin.describeConfigs(List.of(resource)).all().get();
        Collection<AlterConfigOp> change =
            List.of(new AlterConfigOp(new ConfigEntry("retention.ms", "7200000"), AlterConfigOp.OpType.SET));
        admin.incrementalAlterConfigs(Map.of(resource, change)).all().get();
        int broker = admin.describeCluster().nodes().get().iterator().next().id();
        admin.describeLogDirs(List.of(broker)).allDescriptions().get();
        admin.listGroups().all().get();
        admin.describeConsumerGroups(List.of("golden-java")).all().get();
        admin.listConsumerGroupOffsets("golden-java").partitionsToOffsetAndMetadata().get();
        admin.deleteConsumerGroupOffsets("golden-java", Set.of(first)).all().get();
        admin.listOffsets(Map.of(first, OffsetSpec.maxTimestamp())).all().get();
        admin.describeProducers(List.of(first)).all().get();
        admin.deleteRecords(Map.of(first, RecordsToDelete.beforeOffset(1))).all().get();
        admin.deleteConsumerGroups(List.of("golden-java")).all().get();
        admin.deleteTopics(List.of(topic)).all().get();
    }
}
