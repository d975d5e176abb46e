//! The client's suite against a broker in this process; `client/tests/cluster.rs` runs the same against any cluster.

#[path = "../../client/tests/suite/mod.rs"]
mod suite;

use ottla_client::Client;
use ottla_examples::Cluster;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_passes_its_suite_against_a_broker_in_this_process() {
    let cluster = Cluster::start_in_process().await.expect("started");
    let client = Client::connect(&cluster.bootstrap).await.expect("the broker answers");
    suite::run(&client).await;
    cluster.stop().await.expect("stopped cleanly");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_pass_their_suite_against_a_broker_in_this_process() {
    let cluster = Cluster::start_in_process().await.expect("started");
    let client = Client::connect(&cluster.bootstrap).await.expect("the broker answers");
    suite::groups::run(&client).await;
    cluster.stop().await.expect("stopped cleanly");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_administrator_of_groups_passes_the_suite_against_a_broker_in_this_process() {
    let cluster = Cluster::start_in_process().await.expect("started");
    let client = Client::connect(&cluster.bootstrap).await.expect("the broker answers");
    suite::admin_groups::run(&client).await;
    cluster.stop().await.expect("stopped cleanly");
}
