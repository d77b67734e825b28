//! The test servers are what the tests of the engines take them for.

use mongodb::bson::doc;
use mongodb::error::ErrorKind;
use redis::AsyncCommands as _;

use crate::support::servers::{OwnServer, shared};
use crate::support::wait;

#[test]
fn a_killed_redis_comes_back_with_its_address_and_all_that_it_answered() {
    let server = OwnServer::up("redis");
    let client = redis::Client::open(server.url.as_str()).unwrap();
    wait(async {
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let _: () = connection.set("kept", 1).await.unwrap();
    });
    server.kill();
    wait(async { client.get_multiplexed_async_connection().await.map(drop) }).expect_err("it is gone");
    server.start();
    let kept: Option<i64> =
        wait(async { client.get_multiplexed_async_connection().await.unwrap().get("kept").await.unwrap() });
    assert_eq!(kept, Some(1));
}

#[test]
fn the_redis_cluster_has_three_masters() {
    let url = shared("GODWIT_TEST_REDIS_CLUSTER_URL");
    let nodes = url.strip_prefix("redis-cluster://").unwrap().split(',').map(|node| format!("redis://{node}"));
    let client = redis::cluster::ClusterClient::new(nodes).unwrap();
    wait(async {
        let mut connection = client.get_async_connection().await.unwrap();
        // One key in the slots of each.
        for key in ["servers:a", "servers:b", "servers:c", "servers:d"] {
            let _: () = connection.set(key, key).await.unwrap();
            let read: String = connection.get(key).await.unwrap();
            assert_eq!(read, key);
            let _: () = connection.del(key).await.unwrap();
        }
        let slots: Vec<redis::Value> = redis::cmd("CLUSTER").arg("SLOTS").query_async(&mut connection).await.unwrap();
        assert_eq!(slots.len(), 3);
    });
}

/// A transaction over one document, given up at its end.
async fn transaction(url: &str) -> mongodb::error::Result<()> {
    let client = mongodb::Client::with_uri_str(url).await?;
    let mut session = client.start_session().await?;
    session.start_transaction().await?;
    let collection = client.database("godwit_servers").collection("words");
    collection.insert_one(doc! { "word": "hello" }).session(&mut session).await?;
    session.abort_transaction().await
}

#[test]
fn the_mongodb_replica_set_has_transactions_and_the_single_server_has_none() {
    wait(transaction(&shared("GODWIT_TEST_MONGODB_URL"))).unwrap();
    let error = wait(transaction(&shared("GODWIT_TEST_MONGODB_STANDALONE_URL"))).unwrap_err();
    // "Transaction numbers are only allowed on a replica set member or mongos"; the client's own text speaks of retries.
    let ErrorKind::Command(error) = error.kind.as_ref() else { panic!("{error}") };
    assert_eq!(error.code_name, "IllegalOperation");
}

#[test]
fn elasticsearch_is_of_the_version_that_is_promised() {
    let url = shared("GODWIT_TEST_ELASTICSEARCH_URL");
    let url = url.strip_prefix("elasticsearch+").unwrap_or(&url);
    let mut answer = ureq::get(url).call().unwrap();
    let about: serde_json::Value = serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap();
    assert!(about["version"]["number"].as_str().unwrap().starts_with("7.17."), "{about}");
}
