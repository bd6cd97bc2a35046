//! A hub under other addresses and names, and what it adds to its answers or leaves out of them.
#![cfg(test)] // so that clippy takes the helpers for tests, too

mod common;

use std::net::Ipv6Addr;

use common::ID;
use reqwest::{Client, Response, redirect::Policy};
use tensorgate_testhub::{Fault, Place, Port, TestHub};

const LFS: &str = "model.safetensors";

async fn get(url: &str) -> Response {
    let client = Client::builder().redirect(Policy::none()).build().unwrap();
    client.get(url).send().await.unwrap()
}

fn tree(hub: &TestHub) -> String {
    let address = hub.address(Port::Hub);
    format!("http://{address}/api/models/{ID}/tree/main?recursive=true")
}

async fn paths(hub: &TestHub) -> Vec<String> {
    let body = get(&tree(hub)).await.bytes().await.unwrap();
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&body).unwrap();
    rows.iter()
        .map(|row| row["path"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_hub_listens_where_it_is_told() {
    let hub = TestHub::builder()
        .host(Ipv6Addr::LOCALHOST)
        .start()
        .unwrap();
    hub.serve(common::repository(ID));
    for (port, url) in [(Port::Hub, hub.endpoint()), (Port::Cdn, hub.cdn())] {
        assert_eq!(url, format!("http://{}", hub.address(port)));
        assert!(url.starts_with("http://[::1]:"), "{url}");
    }
    assert_eq!(get(&tree(&hub)).await.status(), 200);
}

#[tokio::test]
async fn a_hub_calls_itself_what_clients_see() {
    let builder = TestHub::builder()
        .page_size(1)
        .seen_as(Port::Hub, "https://hub.example")
        .seen_as(Port::Cdn, "https://cdn.example");
    let hub = builder.start().unwrap();
    hub.serve(common::repository(ID));
    assert_eq!(
        (hub.endpoint(), hub.cdn()),
        ("https://hub.example", "https://cdn.example")
    );
    let page = get(&tree(&hub)).await;
    let next = page.headers()["link"].to_str().unwrap();
    assert!(next.starts_with("<https://hub.example/api/"), "{next}");
    let file = format!("http://{}/{ID}/resolve/main/{LFS}", hub.address(Port::Hub));
    let redirect = get(&file).await;
    let cdn = redirect.headers()["location"].to_str().unwrap();
    assert!(cdn.starts_with("https://cdn.example/models/"), "{cdn}");
}

#[tokio::test]
async fn a_header_is_added_at_one_place_beside_what_is_there() {
    let (hub, _) = common::hub();
    let value = "\u{fc}".to_owned();
    for (place, name) in [(Place::Tree, "X-More"), (Place::Resolve, "X-Repo-Commit")] {
        let (name, value) = (name.into(), value.clone());
        hub.inject(Fault::Header { place, name, value });
    }
    let count = |answer: &Response, name| answer.headers().get_all(name).iter().count();
    let listing = get(&tree(&hub)).await;
    assert_eq!(listing.headers()["x-more"].as_bytes(), value.as_bytes());
    assert_eq!(count(&listing, "x-repo-commit"), 0);
    let file = get(&format!("{}/{ID}/resolve/main/config.json", hub.endpoint())).await;
    assert_eq!(
        (count(&file, "x-repo-commit"), count(&file, "x-more")),
        (2, 0)
    );
}

#[tokio::test]
async fn what_is_left_out_is_missing_in_listings_alone() {
    let hub = TestHub::start().unwrap();
    hub.serve(common::repository(ID));
    let all = paths(&hub).await;
    for path in ["nested", "config.json"] {
        hub.clear_faults();
        hub.inject(Fault::ListedWithout { path: path.into() });
        let mut expected = all.clone();
        expected.retain(|listed| listed != path);
        assert_eq!(paths(&hub).await, expected);
        assert_eq!(expected.len() + 1, all.len());
    }
    let file = get(&format!("{}/{ID}/resolve/main/config.json", hub.endpoint())).await;
    assert_eq!(file.status(), 200);
}

#[tokio::test]
async fn a_xet_hash_is_listed_for_one_file() {
    let hub = TestHub::start().unwrap();
    hub.serve(common::repository(ID));
    hub.inject(Fault::XetHash { path: LFS.into() });
    let body = get(&tree(&hub)).await.bytes().await.unwrap();
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&body).unwrap();
    let named: Vec<_> = rows
        .iter()
        .filter(|row| row.get("xetHash").is_some())
        .collect();
    assert_eq!(named.len(), 1);
    assert_eq!(
        (&named[0]["path"], &named[0]["xetHash"]),
        (&LFS.into(), &"ab".repeat(32).into())
    );
}
