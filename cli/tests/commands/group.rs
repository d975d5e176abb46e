//! `ottla group` against a broker in this process: where groups stand, moving their offsets, and what is refused.

use serde_json::{Value, json};

use crate::cluster::{Running, TestCluster, lines, ottla, stderr_of, stdout_of};

/// A topic of two partitions with ten records in each, whose times are seconds 0 to 9 of 2013.
fn cluster() -> TestCluster {
    let cluster = TestCluster::start();
    stdout_of(cluster.ottla(&["topic", "create", "flights", "-p", "2"]));
    let mut records = String::new();
    for second in 0..10 {
        for partition in 0..2 {
            let time = format!("2013-01-01T00:00:0{second}Z");
            records += &json!({"value": "v", "timestamp": time, "partition": partition}).to_string();
            records += "\n";
        }
    }
    stdout_of(cluster.ottla(&["produce", "flights", "--format", "json"]).write_stdin(records));
    cluster
}

fn json_of(cluster: &TestCluster, arguments: &[&str]) -> Value {
    let output = stdout_of(cluster.ottla(&[arguments, &["-o", "json"]].concat()));
    serde_json::from_str(&output).expect("JSON")
}

/// Sets the offsets of a group, as a file says.
fn set(cluster: &TestCluster, group: &str, offsets: [i64; 2]) {
    let [first, second] = offsets;
    let file = cluster.file("offsets.csv", &format!("flights,0,{first}\nflights,1,{second}\n"));
    stdout_of(cluster.ottla(&["group", "reset", group, "--from-file", &file, "--execute"]));
}

/// The committed offsets of both partitions.
fn committed(cluster: &TestCluster, group: &str) -> Vec<Option<i64>> {
    let rows = json_of(cluster, &["group", "offsets", group]);
    let of = |partition: i64| {
        let row = rows.as_array()?.iter().find(|row| row["partition"] == partition)?;
        row["committed"].as_i64()
    };
    vec![of(0), of(1)]
}

/// A member of the group that has all partitions and has committed their ends.
fn member(cluster: &TestCluster, group: &str) -> Running {
    let mut member = cluster.spawn(&["consume", "flights", "--group", group, "-q"]);
    for _ in 0..20 {
        member.read_line();
    }
    loop {
        let described = json_of(cluster, &["group", "describe", group]);
        if described[0]["state"] == "Stable" && described[0]["lag"] == 0 {
            return member;
        }
    }
}

#[test]
fn lag_is_told_in_offsets_and_in_time_and_is_nothing_when_all_is_read() {
    let cluster = cluster();
    set(&cluster, "billing", [10, 4]);
    let described = json_of(&cluster, &["group", "describe", "billing"]);
    let group = &described[0];
    assert_eq!(
        (&group["state"], &group["type"], &group["lag"]),
        (&json!("Empty"), &json!("classic"), &json!(6))
    );
    assert_eq!(
        (&group["partitions"][0]["lag"], &group["partitions"][0]["lag_seconds"]),
        (&json!(0), &json!(0.0))
    );
    // The first unread record of partition 1 is of second 4 of 2013.
    let behind = group["partitions"][1]["lag_seconds"].as_f64().expect("known");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let expected = now.as_secs_f64() - 1_356_998_404.0;
    assert!((behind - expected).abs() < 60.0, "{behind} is not {expected}");
    assert_eq!(group["lag_seconds"], group["partitions"][1]["lag_seconds"]);
    let text = lines(&stdout_of(cluster.ottla(&["group", "describe", "--all"])));
    assert!(
        text[0].starts_with("billing: Empty, classic, 0 members, coordinator ") && text[0].contains("lag 6,")
    );
    assert!(text[2].starts_with("flights          0         10       10    0  0s"), "{text:?}");

    set(&cluster, "billing", [10, 10]);
    let described = json_of(&cluster, &["group", "describe", "billing"]);
    assert_eq!((&described[0]["lag"], &described[0]["lag_seconds"]), (&json!(0), &json!(0.0)));
}

#[test]
fn members_are_described_and_their_group_is_defended() {
    let cluster = cluster();
    let member = member(&cluster, "billing");
    let described = json_of(&cluster, &["group", "describe", "billing"]);
    let group = &described[0];
    assert_eq!((&group["assignor"], &group["members"][0]["partitions"]), (&json!("range"), &json!(2)));
    assert_eq!(group["partitions"][0]["member"], group["members"][0]["member"]);
    assert_eq!(group["members"][0]["client"], "ottla-cli");

    let looked = cluster.ottla(&["group", "reset", "billing", "--all-topics", "--to-earliest"]).output();
    let looked = looked.expect("runs");
    assert!(looked.status.success(), "only looking is allowed");
    assert!(String::from_utf8_lossy(&looked.stderr).contains("stop them first"));
    let arguments = ["group", "reset", "billing", "--all-topics", "--to-earliest", "--execute"];
    let refused = stderr_of(cluster.ottla(&arguments), 1);
    assert!(refused.contains("Stable with 1 members") && refused.contains("stop them first"), "{refused}");
    let refused = stderr_of(cluster.ottla(&["group", "delete", "billing"]), 1);
    assert!(refused.contains("NON_EMPTY_GROUP") && refused.contains("stop its members"), "{refused}");
    let refused = stderr_of(cluster.ottla(&["group", "delete", "billing", "--topic", "flights"]), 1);
    assert!(refused.contains("GROUP_SUBSCRIBED_TO_TOPIC"), "{refused}");
    assert_eq!(member.interrupted().0, Some(0));
    stdout_of(cluster.ottla(&["group", "delete", "billing"]));
}

#[test]
fn every_way_to_reset_takes_offsets_where_it_says() {
    let cluster = cluster();
    let file = cluster.file("all.csv", "flights,0,3\n\"other\",\"flights\",1,9\nbilling,flights,1,7\n");
    let cases: [(&[&str], [i64; 2]); 12] = [
        (&["--all-topics", "--to-earliest"], [0, 0]),
        (&["--all-topics", "--to-latest"], [10, 10]),
        (&["--topic", "flights", "--to-offset", "6"], [6, 6]),
        (&["--topic", "flights:1", "--to-offset", "6"], [5, 6]),
        (&["--topic", "flights:0-1", "--to-offset", "99"], [10, 10]),
        (&["--all-topics", "--to-datetime", "2013-01-01T00:00:03Z"], [3, 3]),
        (&["--all-topics", "--to-datetime", "2020-01-01"], [10, 10]),
        (&["--all-topics", "--by-duration", "1d"], [10, 10]),
        (&["--all-topics", "--by-duration", "P99999D"], [0, 0]),
        (&["--all-topics", "--shift-by", "-2"], [3, 3]),
        (&["--all-topics", "--to-current"], [5, 5]),
        (&["--from-file", &file], [3, 7]),
    ];
    for (how, expected) in cases {
        set(&cluster, "billing", [5, 5]);
        let arguments = [&["group", "reset", "billing"], how].concat();
        let looked = json_of(&cluster, &arguments);
        assert_eq!(committed(&cluster, "billing"), [Some(5), Some(5)], "only shown: {how:?}");
        stdout_of(cluster.ottla(&[&arguments[..], &["--execute"]].concat()));
        assert_eq!(committed(&cluster, "billing"), expected.map(Some), "{how:?}");
        for row in looked.as_array().expect("rows") {
            let partition = usize::try_from(row["partition"].as_i64().expect("a number")).expect("small");
            assert_eq!((&row["current"], &row["new"]), (&json!(5), &json!(expected[partition])), "{how:?}");
        }
    }
}

#[test]
fn exported_offsets_are_read_back_for_several_groups() {
    let cluster = cluster();
    set(&cluster, "one", [1, 2]);
    set(&cluster, "two", [3, 4]);
    let exported = stdout_of(cluster.ottla(&[
        "group",
        "reset",
        "one",
        "two",
        "--all-topics",
        "--to-current",
        "--export",
    ]));
    assert_eq!(exported, "one,flights,0,1\none,flights,1,2\ntwo,flights,0,3\ntwo,flights,1,4\n");
    stdout_of(cluster.ottla(&["group", "reset", "--all", "--all-topics", "--to-latest", "--execute"]));
    let file = cluster.file("saved.csv", &exported);
    stdout_of(cluster.ottla(&["group", "reset", "one", "two", "--from-file", &file, "--execute"]));
    assert_eq!(committed(&cluster, "one"), [Some(1), Some(2)]);
    assert_eq!(committed(&cluster, "two"), [Some(3), Some(4)]);
}

#[test]
fn groups_are_listed_by_state_and_type_and_deleted() {
    let cluster = cluster();
    set(&cluster, "one", [1, 2]);
    set(&cluster, "two", [3, 4]);
    let listed = json_of(&cluster, &["group", "list", "--state", "empty", "--type", "classic"]);
    assert_eq!((&listed[0]["group"], &listed[1]["group"]), (&json!("one"), &json!("two")));
    assert_eq!(json_of(&cluster, &["group", "list", "--state", "Stable,Dead"]), json!([]));
    stdout_of(cluster.ottla(&["group", "delete", "one", "--topic", "flights:1"]));
    assert_eq!(committed(&cluster, "one"), [Some(1), None]);
    let nothing = stderr_of(cluster.ottla(&["group", "delete", "one", "--topic", "flights:1"]), 1);
    assert!(nothing.contains("ottla group offsets one"), "{nothing}");
    stdout_of(cluster.ottla(&["group", "delete", "one", "two"]));
    assert_eq!(json_of(&cluster, &["group", "list"]), json!([]));
    stdout_of(cluster.ottla(&["group", "delete", "one", "--if-exists"]));
    for arguments in [["group", "delete", "one"], ["group", "describe", "one"], ["group", "offsets", "one"]] {
        let missing = stderr_of(cluster.ottla(&arguments), 1);
        assert!(missing.contains("GROUP_ID_NOT_FOUND") && missing.contains("ottla group list"), "{missing}");
        assert_eq!(missing.trim_end().lines().count(), 1, "{missing}");
    }
}

#[test]
fn what_cannot_be_reset_is_said_in_one_line() {
    let cluster = cluster();
    let bad = cluster.file("bad.csv", "flights,0,1\nflights;0;1\n");
    let cases: [(&[&str], &str); 5] = [
        (&["--all-topics", "--to-latest"], "has committed no offsets"),
        (&["--topic", "flights:7", "--to-latest"], "there is no partition 7"),
        (&["--topic", "fights", "--to-latest"], "UNKNOWN_TOPIC_OR_PARTITION"),
        (&["--topic", "flights", "--shift-by", "1"], "nothing is committed that could be shifted"),
        (&["--from-file", &bad], "bad.csv:2: "),
    ];
    for (how, expected) in cases {
        let told = stderr_of(cluster.ottla(&[&["group", "reset", "billing"], how].concat()), 1);
        assert!(told.contains(expected) && told.trim_end().lines().count() == 1, "{told}");
    }
}

#[test]
fn wrong_use_is_told_before_anything_is_asked() {
    let cases: [(&[&str], &str); 7] = [
        (&["group", "reset", "g", "--to-latest"], "--all-topics"),
        (&["group", "reset", "g", "--all-topics"], "--to-earliest"),
        (&["group", "reset", "g", "--all-topics", "--to-latest", "--to-earliest"], "cannot be used with"),
        (&["group", "reset", "g", "--topic", "t:x", "--to-latest"], "write 0,2,5-9"),
        (&["group", "reset", "g", "--all-topics", "--by-duration", "soon"], "P1DT2H30M"),
        (&["group", "list", "--state", "Sable"], "Stable"),
        (&["group", "describe"], "GROUP"),
    ];
    for (arguments, expected) in cases {
        // Nobody listens there: whoever asked would fail otherwise.
        let mut command = ottla(arguments);
        command.env("OTTLA_BOOTSTRAP", "127.0.0.1:1");
        let told = stderr_of(command, 2);
        assert!(told.contains(expected), "{arguments:?}: {told}");
    }
}

#[test]
fn watching_writes_a_line_each_time_until_it_is_interrupted() {
    let cluster = cluster();
    set(&cluster, "billing", [5, 5]);
    let mut watch = cluster.spawn(&["group", "describe", "billing", "--watch", "--interval", "100ms"]);
    let first = watch.read_line();
    assert!(first.contains(" billing Empty members=0 lag=10 behind="), "{first}");
    set(&cluster, "billing", [10, 10]);
    while !watch.read_line().contains(" lag=0 behind=0s") {}
    assert_eq!(watch.interrupted().0, Some(0));

    let mut watch = cluster.spawn(&["group", "describe", "billing", "-w", "-o", "json"]);
    let object: Value = serde_json::from_str(&watch.read_line()).expect("one object per line");
    assert_eq!(object["lag"], 0);
    assert_eq!(watch.interrupted().0, Some(0));
    stderr_of(cluster.ottla(&["group", "describe", "biling", "--watch"]), 1);
}
