//! Why a config is accepted without an effect, or refused. Each reason is one sentence that the broker prints when the
//! config is set, and that the reference pages show.

pub(super) const ASSIGNMENT: &str = "a group that has changed is assigned anew at once";
pub(super) const AUTHORIZER: &str = "ottla does not check access rules yet, and would serve everybody";
pub(super) const COORDINATOR: &str = "the coordinator's log is not tuned by this";
pub(super) const CORDON: &str = "every log directory takes new partitions";
pub(super) const GROUPKINDS: &str =
    "classic and consumer groups are always on, the newer kinds are not served yet";
pub(super) const JVM: &str = "it names a class or a setting of the Java runtime, which ottla does not have";
pub(super) const METRICS: &str = "ottla measures by itself and loads no reporters";
pub(super) const MOVEDIRS: &str = "replicas are not moved between log directories yet";
pub(super) const ONESTART: &str = "all listeners open at once, when the broker is ready";
pub(super) const ONE_CHECKPOINT: &str = "log start offsets are written together with the recovery points";
pub(super) const ORDERLY_STOP: &str = "a stop always finishes its work and marks the logs clean";
pub(super) const PLUGIN_POLICY: &str =
    "ottla loads no Java classes, and what the policy forbids would be allowed";
pub(super) const PLUGIN_QUOTA: &str = "ottla loads no Java classes, and clients would go unlimited";
pub(super) const PURGATORY: &str = "ottla wakes each waiting request by itself and has nothing to sweep";
pub(super) const QUEUED_REQUESTS: &str = "a request begins as soon as it has come, so that none waits in a queue; what may be unanswered is bounded for each \
     connection, and in bytes for all together by `queued.max.request.bytes`";
pub(super) const QUORUM: &str = "a single node is its own controller and votes alone";
pub(super) const QUOTA: &str = "nobody can set a quota yet: AlterClientQuotas is not served";
pub(super) const REGEX: &str = "expressions are resolved when the topics change";
pub(super) const REPLICATION: &str = "a single node replicates to nobody";
pub(super) const ROLES: &str = "every node is broker and controller";
pub(super) const RUNTIME: &str = "one runtime with a thread per core does all work";
pub(super) const SECURITY: &str = "SASL is not served yet, and a listener that asks for it is refused";
pub(super) const SELECTOR: &str = "a single node has no other replica to read from";
pub(super) const SHARE: &str = "share groups (KIP-932) are not served yet";
pub(super) const SNAPSHOT: &str = "the metadata log is replaced whole by each snapshot";
pub(super) const STARTUP: &str = "ottla does not watch its own start";
pub(super) const STARTUP_DELAY: &str = "periodic work begins right after the start";
pub(super) const STREAMS: &str = "the streams group protocol (KIP-1071) is not served yet";
pub(super) const TELEMETRY: &str = "client telemetry (KIP-714) is not served yet";
pub(super) const THROTTLE: &str = "a single node replicates to nobody, so that there is nothing to throttle";
pub(super) const TIERED: &str = "tiered storage is not built yet";
pub(super) const TLS: &str = "TLS is not served yet, and a listener that asks for it is refused";
pub(super) const TRANSACTION: &str = "transactions are not served yet; idempotent producers are";
pub(super) const UNCLEAN: &str = "a partition with one replica has no other to elect";
pub(super) const UNSTABLE: &str = "APIs under development are never offered";
pub(super) const WATERMARK: &str =
    "a single replica's high watermark is its log end, and needs no checkpoint";

pub(super) const ZOOKEEPER: &str = "there is no ZooKeeper";
pub(super) const MESSAGE_FORMAT: &str = "there is one record format, version 2";
pub(super) const INTER_BROKER: &str = "all nodes speak the newest version they have in common";
pub(super) const OLD_LISTENER: &str = "Kafka dropped it; `listeners` and `advertised.listeners` say it";
pub(super) const DEAD_LETTERS: &str = "share groups (KIP-932) are not served yet";
pub(super) const DROPPED: &str = "Kafka dropped it";
