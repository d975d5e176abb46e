//! The client against a live cluster: `OTTLA_TEST_BOOTSTRAP=host:port cargo test -p ottla-client --test cluster`.
//!
//! The same suite runs against Apache Kafka and against ottla; without the variable it passes without a word, because a
//! crate of this floor knows no broker. The suite of the examples crate starts one in process and runs it.

#[path = "suite/mod.rs"]
mod suite;

use ottla_client::Client;

fn bootstrap() -> Option<String> {
    std::env::var("OTTLA_TEST_BOOTSTRAP").ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_passes_its_suite_against_the_cluster_named_in_the_environment() {
    if let Some(bootstrap) = bootstrap() {
        let client = Client::connect(&bootstrap).await.expect("the cluster answers");
        suite::run(&client).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_pass_their_suite_against_the_cluster_named_in_the_environment() {
    if let Some(bootstrap) = bootstrap() {
        let client = Client::connect(&bootstrap).await.expect("the cluster answers");
        suite::groups::run(&client).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_administrator_of_groups_passes_the_suite_against_the_cluster_named_in_the_environment() {
    if let Some(bootstrap) = bootstrap() {
        let client = Client::connect(&bootstrap).await.expect("the cluster answers");
        suite::admin_groups::run(&client).await;
    }
}
