import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.Assignment;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.GroupSubscription;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.Subscription;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.RangeAssignor;
import org.apache.kafka.clients.consumer.RoundRobinAssignor;
import org.apache.kafka.clients.consumer.StickyAssignor;
import org.apache.kafka.common.Cluster;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.coordinator.group.api.assignor.ConsumerGroupPartitionAssignor;
import org.apache.kafka.coordinator.group.api.assignor.SubscribedTopicDescriber;
import org.apache.kafka.coordinator.group.api.assignor.SubscriptionType;
import org.apache.kafka.coordinator.group.assignor.UniformAssignor;
import org.apache.kafka.coordinator.group.modern.GroupSpecImpl;
import org.apache.kafka.coordinator.group.modern.MemberSubscriptionAndAssignmentImpl;

/**
 * What Kafka's own assignors say about random groups that churn; assignors/tests/kafka.rs holds ours against it.
 *
 * <p>{@code Assignors SEED CLIENT_SEQUENCES SERVER_SEQUENCES} prints cases, each with its whole input, so that any of them
 * can be read alone. Topics: {@code T name partitions racks}, members in the order of the JoinGroup response:
 * {@code M id instance rack generation topics owned}, answers: {@code A assignor row/row/...}, one row per member. A
 * missing value is {@code -}, partitions are {@code topic:from-to,one;topic:...}.
 *
 * <p>Left out is what Kafka gets wrong: an answer that gives a topic to a member without a subscription to it, one that
 * ends in an exception, and members that missed a generation and have since dropped a topic, to whom Kafka may give it.
 */
public final class Assignors {
    private static final String[] RACKS = {"ra", "rb", "rc"};

    private final Random random;
    private final StringBuilder out = new StringBuilder();
    private int cases;

    private Assignors(long seed) {
        random = new Random(seed);
    }

    /** A topic: with a rack for each replica of each partition, or without racks. */
    private record Topic(String name, int partitions, List<Set<String>> racks) {}

    /** A member as the leader or the coordinator sees it. */
    private static final class Member {
        String id;
        String instance;
        String rack;
        Integer generation;
        Set<Integer> topics = new TreeSet<>();
        Map<Integer, Set<Integer>> owned = new TreeMap<>();
    }

    public static void main(String[] arguments) {
        System.setProperty("org.slf4j.simpleLogger.defaultLogLevel", "off"); // They complain about our lies.
        Assignors it = new Assignors(Long.parseLong(arguments[0]));
        for (int sequence = 0; sequence < Integer.parseInt(arguments[1]); sequence++) {
            it.clientSequence(sequence);
        }
        for (int sequence = 0; sequence < Integer.parseInt(arguments[2]); sequence++) {
            it.serverSequence(sequence);
        }
        System.out.print(it.out);
    }

    private boolean chance(double share) {
        return random.nextDouble() < share;
    }

    private List<Topic> topics(int most, boolean racks) {
        List<Topic> topics = new ArrayList<>();
        int count = 1 + random.nextInt(most);
        int usual = 1 + random.nextInt(12);
        for (int number = 0; number < count; number++) {
            int partitions = chance(0.5) ? usual : 1 + random.nextInt(20);
            topics.add(topic("t" + number, partitions, racks));
        }
        return topics;
    }

    private Topic topic(String name, int partitions, boolean racks) {
        List<Set<String>> all = new ArrayList<>();
        int replicas = 1 + random.nextInt(3);
        for (int partition = 0; racks && partition < partitions; partition++) {
            Set<String> of = new TreeSet<>();
            for (int replica = 0; replica < replicas; replica++) {
                of.add(RACKS[random.nextInt(RACKS.length)]);
            }
            all.add(of);
        }
        return new Topic(name, partitions, all);
    }

    private Member member(int topics, boolean equal, boolean racks) {
        Member member = new Member();
        member.id = (chance(0.5) ? "c" : "app") + random.nextInt(20) + "-" + Integer.toHexString(random.nextInt());
        member.instance = chance(0.2) ? "i" + Integer.toHexString(random.nextInt(1 << 16)) : null;
        member.rack = racks && chance(0.8) ? RACKS[random.nextInt(RACKS.length)] : null;
        subscribe(member, topics, equal);
        return member;
    }

    private void subscribe(Member member, int topics, boolean equal) {
        member.topics.clear();
        for (int topic = 0; topic < topics; topic++) {
            if (equal || chance(0.6)) {
                member.topics.add(topic);
            }
        }
        if (member.topics.isEmpty()) {
            member.topics.add(random.nextInt(topics));
        }
    }

    private static boolean alone(List<Member> members, Member candidate) {
        return members.stream().noneMatch(other -> other != candidate
            && (other.id.equals(candidate.id) || (other.instance != null && other.instance.equals(candidate.instance))));
    }

    private List<Member> members(int most, int topics, boolean equal, boolean racks) {
        List<Member> members = new ArrayList<>();
        int count = 1 + random.nextInt(most);
        while (members.size() < count) {
            Member member = member(topics, equal, racks);
            if (alone(members, member)) {
                members.add(member);
            }
        }
        return members;
    }

    private void churn(List<Member> members, List<Topic> topics, boolean equal, boolean racks, boolean client) {
        for (int times = random.nextInt(3); times > 0 && members.size() > 1; times--) {
            members.remove(random.nextInt(members.size()));
        }
        for (int times = random.nextInt(3); times > 0; times--) {
            Member member = member(topics.size(), equal, racks);
            if (alone(members, member)) {
                members.add(random.nextInt(members.size() + 1), member);
            }
        }
        for (Member member : members) {
            if (!equal && chance(0.15)) {
                subscribe(member, topics.size(), false);
            }
            if (member.instance != null && chance(0.3)) {
                member.id = member.id + "r";
            }
        }
        if (chance(0.25)) {
            int which = random.nextInt(topics.size());
            Topic old = topics.get(which);
            if (client && chance(0.3) && topics.size() > 1) {
                topics.set(which, new Topic(old.name, 0, List.of()));
            } else if (old.partitions > 0) {
                topics.set(which, topic(old.name, old.partitions + 1 + random.nextInt(4), racks));
            }
        }
    }

    private void clientSequence(int sequence) {
        boolean equal = sequence % 2 == 0;
        boolean racks = sequence % 3 == 0;
        boolean large = sequence % 20 == 7;
        List<Topic> topics = topics(large ? 9 : 6, racks);
        List<Member> members = members(large ? 40 : 12, topics.size(), equal, racks);
        for (int generation = 1; generation <= (large ? 3 : 6); generation++) {
            if (topics.stream().allMatch(topic -> topic.partitions == 0)) {
                return;
            }
            describe(topics, members);
            answer("range", new RangeAssignor(), topics, members, false);
            answer("roundrobin", new RoundRobinAssignor(), topics, members, false);
            Map<String, List<TopicPartition>> rows = answer("sticky", new StickyAssignor(), topics, members, true);
            Map<String, List<TopicPartition>> cooperative =
                answer("cooperative-sticky", new CooperativeStickyAssignor(), topics, members, true);
            rows = chance(0.3) && cooperative != null ? cooperative : rows;
            for (Member member : members) {
                if (rows == null || (member.generation != null && chance(0.05))) {
                    continue; // It missed this generation and still believes in its last one.
                }
                member.generation = generation;
                member.owned = grouped(rows.get(member.id));
            }
            if (chance(0.1) && members.size() > 1) {
                Member liar = members.get(random.nextInt(members.size()));
                liar.owned = new TreeMap<>(members.get(random.nextInt(members.size())).owned);
            }
            churn(members, topics, equal, racks, true);
            for (Member member : members) {
                if (member.generation != null && member.generation < generation) {
                    member.owned.keySet().retainAll(member.topics);
                }
            }
        }
    }

    private static Map<Integer, Set<Integer>> grouped(Collection<TopicPartition> partitions) {
        Map<Integer, Set<Integer>> grouped = new TreeMap<>();
        for (TopicPartition one : partitions) {
            grouped.computeIfAbsent(Integer.parseInt(one.topic().substring(1)), k -> new TreeSet<>()).add(one.partition());
        }
        return grouped;
    }

    private static Cluster cluster(List<Topic> topics) {
        Map<String, Node> nodes = new HashMap<>();
        for (int number = 0; number < RACKS.length; number++) {
            nodes.put(RACKS[number], new Node(number, "h" + number, 1, RACKS[number]));
        }
        Node rackless = new Node(RACKS.length, "h", 1);
        List<PartitionInfo> partitions = new ArrayList<>();
        for (Topic topic : topics) {
            for (int partition = 0; partition < topic.partitions; partition++) {
                Node[] replicas = topic.racks.isEmpty()
                    ? new Node[] {rackless}
                    : topic.racks.get(partition).stream().map(nodes::get).toArray(Node[]::new);
                partitions.add(new PartitionInfo(topic.name, partition, replicas[0], replicas, replicas));
            }
        }
        nodes.put("", rackless);
        return new Cluster("c", nodes.values(), partitions, Set.of(), Set.of());
    }

    private Map<String, List<TopicPartition>> answer(
        String name, ConsumerPartitionAssignor assignor, List<Topic> topics, List<Member> members, boolean sticky
    ) {
        Map<String, Subscription> subscriptions = new HashMap<>();
        for (Member member : members) {
            List<String> names = member.topics.stream().map(topic -> "t" + topic).toList();
            int generation = member.generation == null ? -1 : member.generation;
            List<TopicPartition> owned = new ArrayList<>();
            member.owned.forEach((topic, ps) -> ps.forEach(p -> owned.add(new TopicPartition("t" + topic, p))));
            boolean eager = assignor instanceof StickyAssignor;
            java.nio.ByteBuffer data = null;
            if (sticky && member.generation != null) {
                ConsumerPartitionAssignor own = eager ? new StickyAssignor() : new CooperativeStickyAssignor();
                own.onAssignment(new Assignment(owned), metadata(member.id, generation));
                data = own.subscriptionUserData(new HashSet<>(names));
            }
            Subscription subscription = new Subscription(
                names, data, eager ? List.of() : owned, generation, Optional.ofNullable(member.rack));
            subscription.setGroupInstanceId(Optional.ofNullable(member.instance));
            subscriptions.put(member.id, subscription);
        }
        Map<String, List<TopicPartition>> rows = new HashMap<>();
        try {
            assignor.assign(cluster(topics), new GroupSubscription(subscriptions)).groupAssignment()
                .forEach((id, assignment) -> rows.put(id, assignment.partitions()));
        } catch (RuntimeException exception) {
            return null;
        }
        for (Member member : members) {
            if (!member.topics.containsAll(grouped(rows.get(member.id)).keySet())) {
                return null;
            }
        }
        print(name, members, id -> grouped(rows.get(id)));
        return rows;
    }

    @SuppressWarnings("removal")
    private static ConsumerGroupMetadata metadata(String member, int generation) {
        return new ConsumerGroupMetadata("g", generation, member, Optional.empty());
    }

    private void serverSequence(int sequence) {
        boolean equal = sequence % 2 == 0;
        boolean large = sequence % 20 == 7;
        List<Topic> topics = topics(9, false);
        List<Member> members = members(large ? 40 : 12, topics.size(), equal, false);
        for (int step = 0; step < (large ? 3 : 6); step++) {
            describe(topics, members);
            answer("range", new org.apache.kafka.coordinator.group.assignor.RangeAssignor(), topics, members);
            Map<String, Map<Integer, Set<Integer>>> rows = answer("uniform", new UniformAssignor(), topics, members);
            for (Member member : members) {
                member.owned = rows.get(member.id);
            }
            churn(members, topics, equal, false, false);
        }
    }

    /** Small numbers as ids: their hash order is the order of the topics' names. */
    private static Uuid id(int topic) {
        return new Uuid(0, topic + 1);
    }

    private Map<String, Map<Integer, Set<Integer>>> answer(
        String name, ConsumerGroupPartitionAssignor assignor, List<Topic> topics, List<Member> members
    ) {
        Map<String, MemberSubscriptionAndAssignmentImpl> specs = new TreeMap<>();
        Map<Uuid, Map<Integer, String>> inverted = new HashMap<>();
        Set<Set<Integer>> subscriptions = new HashSet<>();
        for (Member member : members) {
            Set<Uuid> wanted = new TreeSet<>();
            member.topics.forEach(topic -> wanted.add(id(topic)));
            subscriptions.add(member.topics);
            Map<Uuid, Set<Integer>> owned = new TreeMap<>();
            member.owned.forEach((topic, partitions) -> {
                owned.put(id(topic), partitions);
                partitions.forEach(p -> inverted.computeIfAbsent(id(topic), k -> new HashMap<>()).put(p, member.id));
            });
            specs.put(member.id, new MemberSubscriptionAndAssignmentImpl(
                Optional.empty(), Optional.ofNullable(member.instance), wanted,
                new org.apache.kafka.coordinator.group.modern.Assignment(Collections.unmodifiableMap(owned))));
        }
        SubscriptionType type = subscriptions.size() == 1 ? SubscriptionType.HOMOGENEOUS : SubscriptionType.HETEROGENEOUS;
        SubscribedTopicDescriber describer = new SubscribedTopicDescriber() {
            @Override
            public int numPartitions(Uuid id) {
                return topics.get((int) id.getLeastSignificantBits() - 1).partitions;
            }

            @Override
            public Set<String> racksForPartition(Uuid id, int partition) {
                return Set.of();
            }
        };
        Map<String, Map<Integer, Set<Integer>>> rows = new HashMap<>();
        members.forEach(member -> rows.put(member.id, new TreeMap<>()));
        assignor.assign(new GroupSpecImpl(specs, type, inverted), describer).members()
            .forEach((member, assignment) -> assignment.partitions().forEach((topic, partitions) ->
                rows.get(member).put((int) topic.getLeastSignificantBits() - 1, new TreeSet<>(partitions))));
        print(name, members, rows::get);
        return rows;
    }

    private void describe(List<Topic> topics, List<Member> members) {
        out.append("case ").append(++cases).append('\n');
        for (Topic topic : topics) {
            List<String> racks = topic.racks.stream().map(of -> String.join(",", of)).toList();
            out.append("T ").append(topic.name).append(' ').append(topic.partitions).append(' ')
                .append(racks.isEmpty() ? "-" : String.join("|", racks)).append('\n');
        }
        for (Member member : members) {
            out.append("M ").append(member.id).append(' ').append(orNone(member.instance)).append(' ')
                .append(orNone(member.rack)).append(' ').append(orNone(member.generation)).append(' ')
                .append(ranges(member.topics)).append(' ').append(row(member.owned)).append('\n');
        }
    }

    private void print(
        String name, List<Member> members, java.util.function.Function<String, Map<Integer, Set<Integer>>> rows
    ) {
        List<String> printed = members.stream().map(member -> row(rows.apply(member.id))).toList();
        out.append("A ").append(name).append(' ').append(String.join("/", printed)).append('\n');
    }

    private static String orNone(Object value) {
        return value == null ? "-" : value.toString();
    }

    private static String row(Map<Integer, Set<Integer>> partitions) {
        List<String> topics = new ArrayList<>();
        partitions.forEach((topic, numbers) -> topics.add(topic + ":" + ranges(numbers)));
        return topics.isEmpty() ? "-" : String.join(";", topics);
    }

    /** {@code 0-3,5} for 0, 1, 2, 3 and 5, which come in ascending order. */
    private static String ranges(Set<Integer> numbers) {
        List<String> ranges = new ArrayList<>();
        Integer from = null;
        Integer last = null;
        for (Integer number : numbers) {
            if (last == null || number != last + 1) {
                if (last != null) {
                    ranges.add(from.equals(last) ? "" + from : from + "-" + last);
                }
                from = number;
            }
            last = number;
        }
        if (last != null) {
            ranges.add(from.equals(last) ? "" + from : from + "-" + last);
        }
        return String.join(",", ranges);
    }
}
