//! Kafka's own command-line tools and kcat against a broker: each one used as a person uses it, and its output checked.
//!
//! The expectations were taken from the same commands against Apache Kafka; `cargo xtask interop --apache` repeats that.

use crate::apache::Apache;
use crate::failure::Failure;
use crate::process::{capture, capture_with_input};
use crate::scoreboard::Scoreboard;
use std::process::Command;

const TOPIC: &str = "tools";

/// Runs the tools one after the other; later ones build on what earlier ones did.
pub(crate) struct Tools<'a> {
    apache: &'a Apache,
    bootstrap: String,
}

impl<'a> Tools<'a> {
    /// Tools for the broker at this address.
    pub(crate) fn new(apache: &'a Apache, bootstrap: String) -> Self {
        Self { apache, bootstrap }
    }

    fn tool(&self, name: &str, arguments: &[&str]) -> Result<Command, Failure> {
        let mut command = self.apache.tool(name)?;
        command.args(["--bootstrap-server", &self.bootstrap]).args(arguments);
        Ok(command)
    }

    /// Runs a tool and expects every one of these texts in what it prints.
    fn expect(&self, name: &str, arguments: &[&str], input: &str, texts: &[&str]) -> Result<(), Failure> {
        let mut command = self.tool(name, arguments)?;
        expect_in(&capture_with_input(&mut command, input)?.expect_success()?, texts)
    }

    fn kcat(&self, arguments: &[&str], input: &str) -> Result<String, Failure> {
        let mut command = Command::new("kcat");
        command.args(["-b", &self.bootstrap]).args(arguments);
        capture_with_input(&mut command, input)?.expect_success()
    }

    /// All of them.
    pub(crate) fn run(&self, board: &mut Scoreboard) {
        self.topics(board);
        self.records(board);
        self.configs(board);
        self.offsets(board);
        self.kcat_all(board);
        board.step("kafka-topics --delete", || {
            self.expect("topics", &["--delete", "--topic", TOPIC], "", &[])?;
            let left = capture(&mut self.tool("topics", &["--list"])?)?;
            if left.lines().any(|line| line == TOPIC) {
                return Err(Failure::Claim(format!("{TOPIC} is still there:\n{left}")));
            }
            Ok(())
        });
    }

    fn topics(&self, board: &mut Scoreboard) {
        board.step("kafka-topics --create", || {
            let arguments =
                ["--create", "--topic", TOPIC, "--partitions", "3", "--config", "segment.bytes=1048576"];
            self.expect("topics", &arguments, "", &["Created topic tools."])
        });
        board.step("kafka-topics --create again is refused", || {
            let mut command = self.tool("topics", &["--create", "--topic", TOPIC, "--partitions", "3"])?;
            let printed = capture_with_input(&mut command, "")?;
            if printed.success {
                return Err(Failure::Claim("the second creation ended well".to_owned()));
            }
            expect_in(&printed.text, &["TopicExistsException"])
        });
        board.step("kafka-topics --list", || self.expect("topics", &["--list"], "", &[TOPIC]));
        board.step("kafka-topics --alter --partitions", || {
            self.expect("topics", &["--alter", "--topic", TOPIC, "--partitions", "5"], "", &[])
        });
        board.step("kafka-topics --describe", || {
            let texts = [
                "PartitionCount: 5",
                "ReplicationFactor: 1",
                "segment.bytes=1048576",
                "Partition: 4\tLeader: ",
            ];
            self.expect("topics", &["--describe", "--topic", TOPIC], "", &texts)
        });
    }

    fn records(&self, board: &mut Scoreboard) {
        board.step("kafka-console-producer", || {
            let input: String = (0..100).map(|number| format!("k{number}:v{number}\n")).collect();
            let arguments = [
                "--topic",
                TOPIC,
                "--reader-property",
                "parse.key=true",
                "--reader-property",
                "key.separator=:",
            ];
            self.expect("console-producer", &arguments, &input, &[])
        });
        board.step("kafka-console-consumer --partition", || {
            for partition in 0..5 {
                let partition = partition.to_string();
                let arguments = ["--topic", TOPIC, "--partition", &partition, "--offset", "earliest"];
                let more = ["--max-messages", "1", "--timeout-ms", "15000"];
                let text = "Processed a total of 1 messages";
                self.expect("console-consumer", &[&arguments[..], &more[..]].concat(), "", &[text])?;
            }
            Ok(())
        });
        board.step("kafka-console-consumer in a group", || {
            let arguments =
                ["--topic", TOPIC, "--from-beginning", "--max-messages", "100", "--timeout-ms", "30000"];
            self.expect("console-consumer", &arguments, "", &["Processed a total of 100 messages", "v99"])
        });
        board.step("kafka-consumer-groups --describe", || {
            let arguments =
                ["--topic", TOPIC, "--from-beginning", "--max-messages", "100", "--group", "readers"];
            self.expect(
                "console-consumer",
                &[&arguments[..], &["--timeout-ms", "30000"]].concat(),
                "",
                &["v99"],
            )?;
            self.expect("consumer-groups", &["--list"], "", &["readers"])?;
            self.expect("consumer-groups", &["--describe", "--group", "readers"], "", &["LAG", TOPIC])
        });
        board.step("kafka-producer-perf-test", || {
            let arguments =
                ["--topic", TOPIC, "--num-records", "20000", "--record-size", "200", "--throughput", "-1"];
            self.expect("producer-perf-test", &arguments, "", &["20000 records sent"])
        });
    }

    fn configs(&self, board: &mut Scoreboard) {
        board.step("kafka-configs --describe --all", || {
            let texts = [
                "segment.bytes=1048576 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:segment.bytes=1048576, DEFAULT_CONFIG:log.segment.bytes=1073741824}",
                "cleanup.policy=delete",
                "max.message.bytes=1048588 sensitive=false synonyms={DEFAULT_CONFIG:message.max.bytes=1048588}",
            ];
            self.expect("configs", &["--describe", "--topic", TOPIC, "--all"], "", &texts)
        });
        board.step("kafka-configs --alter", || {
            let alter = ["--alter", "--topic", TOPIC, "--add-config", "retention.ms=3600000"];
            self.expect("configs", &alter, "", &["Completed updating config for topic tools."])?;
            let row =
                "retention.ms=3600000 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:retention.ms=3600000}";
            self.expect("configs", &["--describe", "--topic", TOPIC], "", &[row])?;
            let alter = ["--alter", "--topic", TOPIC, "--delete-config", "retention.ms"];
            self.expect("configs", &alter, "", &["Completed updating config for topic tools."])
        });
        board.step("kafka-configs refuses a wrong value", || {
            let alter = ["--alter", "--topic", TOPIC, "--add-config", "retention.ms=soon"];
            let printed = capture_with_input(&mut self.tool("configs", &alter)?, "")?;
            expect_in(&printed.text, &["InvalidConfigurationException"])
        });
        board.step("kafka-configs of the broker", || {
            self.expect(
                "configs",
                &["--describe", "--broker", "1", "--all"],
                "",
                &["message.max.bytes=", "log.dirs="],
            )
        });
    }

    fn offsets(&self, board: &mut Scoreboard) {
        board.step("kafka-get-offsets", || {
            let printed = capture(&mut self.tool("get-offsets", &["--topic", TOPIC])?)?;
            let sum: i64 =
                printed.lines().filter_map(|line| line.rsplit(':').next()?.parse::<i64>().ok()).sum();
            if sum != 20_100 {
                return Err(Failure::Claim(format!(
                    "20100 records were sent, the end offsets add up to {sum}:\n{printed}"
                )));
            }
            self.expect(
                "get-offsets",
                &["--topic", TOPIC, "--time", "earliest"],
                "",
                &["tools:0:0", "tools:4:0"],
            )?;
            self.expect("get-offsets", &["--topic", TOPIC, "--time", "max-timestamp"], "", &["tools:4:"])
        });
        board.step("kafka-delete-records", || {
            let json = r#"{"partitions":[{"topic":"tools","partition":0,"offset":5}],"version":1}"#;
            let file = std::env::temp_dir().join(format!("ottla-delete-{}.json", std::process::id()));
            std::fs::write(&file, json).map_err(Failure::file(&file))?;
            let name = file.to_string_lossy().into_owned();
            self.expect("delete-records", &["--offset-json-file", &name], "", &["low_watermark: 5"])?;
            std::fs::remove_file(&file).map_err(Failure::file(&file))?;
            self.expect("get-offsets", &["--topic", TOPIC, "--time", "earliest"], "", &["tools:0:5"])
        });
        board.step("kafka-log-dirs", || {
            self.expect(
                "log-dirs",
                &["--describe", "--topic-list", TOPIC],
                "",
                &["\"partition\":\"tools-0\""],
            )
        });
        board.step("kafka-broker-api-versions", || {
            self.expect("broker-api-versions", &[], "", &["Produce(0): 0 to ", "ApiVersions(18): 0 to "])
        });
        board.step("kafka-cluster cluster-id", || {
            let mut command = self.apache.tool("cluster")?;
            command.args(["cluster-id", "--bootstrap-server", &self.bootstrap]);
            expect_in(&capture(&mut command)?, &["Cluster ID: "])
        });
    }

    fn kcat_all(&self, board: &mut Scoreboard) {
        board.step("kcat -L", || {
            expect_in(&self.kcat(&["-L"], "")?, &["1 brokers:", "topic \"tools\" with 5 partitions:"])
        });
        board.step("kcat -P and -C, every codec, a topic made on demand", || {
            for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
                let topic = format!("kcat-{codec}");
                let input: String = (0..1000).map(|number| format!("key{number}:value {number}\n")).collect();
                self.kcat(&["-P", "-t", &topic, "-K:", "-z", codec, "-H", "from=kcat"], &input)?;
                let read = self.kcat(&["-C", "-t", &topic, "-e", "-q", "-f", "%k:%s\n"], "")?;
                if read != input {
                    return Err(Failure::Claim(format!(
                        "{topic}: {} of 1000 lines came back",
                        read.lines().count()
                    )));
                }
            }
            Ok(())
        });
        board.step("kcat -Q", || {
            let printed = self.kcat(&["-Q", "-t", "kcat-none:0:-1"], "")?;
            expect_in(&printed, &["kcat-none [0] offset 1000"])
        });
    }
}

fn expect_in(printed: &str, texts: &[&str]) -> Result<(), Failure> {
    for text in texts {
        if !printed.contains(text) {
            return Err(Failure::Claim(format!("`{text}` is not in what was printed:\n{printed}")));
        }
    }
    Ok(())
}
