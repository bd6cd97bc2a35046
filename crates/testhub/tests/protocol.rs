//! What the hub answers, header by header, while it is honest.
#![cfg(test)] // so that clippy takes the helpers for tests, too

mod common;

use common::{ID, file};
use reqwest::{Method, Response, StatusCode, header, redirect};
use serde_json::{Value, json};
use tensorgate_testhub::{CDN_SIGNATURE, Port, Repository, TestHub, lfs_pointer};

#[tokio::test]
async fn information_names_commit_and_files() {
    let (hub, [first, newest]) = common::hub();
    let url = format!("{}/api/models/{ID}", hub.endpoint());
    let info = json_of(get(&url).await).await;
    assert_eq!((&info["id"], &info["sha"]), (&json!(ID), &json!(newest)));
    let paths: Vec<_> = common::files()
        .iter()
        .map(|(path, _)| json!({"rfilename": path}))
        .collect();
    for path in paths {
        assert!(
            info["siblings"].as_array().unwrap().contains(&path),
            "{path}"
        );
    }
    for (revision, commit) in [
        ("main", &newest),
        ("v1", &first),
        ("refs%2Fheads%2Fv1", &first),
        (&*first, &first),
    ] {
        let info = json_of(get(&format!("{url}/revision/{revision}")).await).await;
        assert_eq!(info["sha"], json!(commit), "{revision}");
    }
    let blobs = json_of(get(&format!("{url}/revision/{first}?blobs=true")).await).await;
    let sha256 = "a7937b64b8caa58f03721bb6bacf5c78cb235febe0e70b1b84cd99541461a08e";
    let pointer = lfs_pointer(sha256, 5);
    assert_eq!(
        blobs["siblings"],
        json!([
            {"rfilename": "config.json", "size": 2, "blobId": "9e26dfeeb6e641a33dae4961196235bdb965b21b"},
            {
                "rfilename": "model.safetensors",
                "size": 5,
                "blobId": tensorgate_testhub::ObjectId::of_blob(pointer.as_bytes()).to_string(),
                "lfs": {"sha256": sha256, "size": 5, "pointerSize": pointer.len()},
            },
        ])
    );
}

#[tokio::test]
async fn listings_come_in_pages_with_links() {
    let (hub, [_, newest]) = common::hub();
    let mut url = format!(
        "{}/api/models/{ID}/tree/{newest}?recursive=true",
        hub.endpoint()
    );
    let (mut rows, mut sizes) = (Vec::new(), Vec::new());
    loop {
        let response = get(&url).await;
        let next = response
            .headers()
            .get(header::LINK)
            .map(|link| link.to_str().unwrap().to_owned());
        let page = json_of(response).await.as_array().unwrap().clone();
        sizes.push(page.len());
        rows.extend(page);
        let Some(next) = next else { break };
        url = next
            .strip_prefix('<')
            .unwrap()
            .strip_suffix(">; rel=\"next\"")
            .unwrap()
            .to_owned();
        assert!(url.starts_with(&format!(
            "{}/api/models/{ID}/tree/{newest}?",
            hub.endpoint()
        )));
    }
    // Nine files and the directories `a b`, `nested`, `nested/deep`.
    assert_eq!(sizes, [4, 4, 4]);
    let directories = rows.iter().filter(|row| row["type"] == "directory").count();
    assert_eq!(directories, 3);
    for (path, bytes) in common::files() {
        let row = rows.iter().find(|row| row["path"] == path).unwrap();
        assert_eq!(row["size"], json!(bytes.len()), "{path}");
        assert_eq!(
            row["lfs"].is_object(),
            path.ends_with(".safetensors"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_listing_of_a_directory_has_its_entries_alone() {
    let (hub, [_, newest]) = common::hub();
    let url = format!("{}/api/models/{ID}/tree/{newest}/nested", hub.endpoint());
    let paths = |rows: Value| -> Vec<String> {
        rows.as_array()
            .unwrap()
            .iter()
            .map(|row| row["path"].as_str().unwrap().into())
            .collect()
    };
    assert_eq!(paths(json_of(get(&url).await).await), ["nested/deep"]);
    let all = json_of(get(&format!("{url}?recursive=true")).await).await;
    assert_eq!(paths(all), ["nested/deep", "nested/deep/norm.safetensors"]);
}

#[tokio::test]
async fn refs_name_the_branches() {
    let (hub, [first, newest]) = common::hub();
    let refs = json_of(get(&format!("{}/api/models/{ID}/refs", hub.endpoint())).await).await;
    assert_eq!(
        refs["branches"],
        json!([
            {"name": "main", "ref": "refs/heads/main", "targetCommit": newest},
            {"name": "v1", "ref": "refs/heads/v1", "targetCommit": first},
        ])
    );
}

#[tokio::test]
async fn a_plain_file_is_served_with_its_git_id() {
    let (hub, [_, newest]) = common::hub();
    let url = format!("{}/{ID}/resolve/main/config.json", hub.endpoint());
    let head = send(Method::HEAD, &url, &[]).await;
    let get = get(&url).await;
    for response in [&head, &get] {
        assert_eq!(response.status(), StatusCode::OK);
        let id = tensorgate_testhub::ObjectId::of_blob(&file("config.json"));
        assert_eq!(text(response, "etag"), format!("\"{id}\""));
        assert_eq!(text(response, "x-repo-commit"), newest);
        assert_eq!(text(response, "content-length"), "15");
        assert!(text(response, "x-request-id").starts_with("testhub-"));
    }
    assert_eq!(get.bytes().await.unwrap(), file("config.json"));
}

#[tokio::test]
async fn an_lfs_file_is_redirected_to_the_cdn() {
    let (hub, [_, newest]) = common::hub();
    let url = format!("{}/{ID}/resolve/{newest}/model.safetensors", hub.endpoint());
    let head = send(Method::HEAD, &url, &[]).await;
    assert_eq!(head.status(), StatusCode::FOUND);
    assert_eq!(text(&head, "x-linked-size"), "600001");
    assert_eq!(text(&head, "x-repo-commit"), newest);
    assert_eq!(text(&head, "x-linked-etag").len(), 66);
    assert!(head.headers().get("x-xet-hash").is_none());
    let location = text(&head, "location").to_owned();
    assert!(location.starts_with(hub.cdn()));

    let body = get(&location).await;
    assert_eq!(text(&body, "etag"), text(&head, "x-linked-etag"));
    assert_eq!(body.bytes().await.unwrap(), file("model.safetensors"));
    let unsigned = location.replace(CDN_SIGNATURE, "forged");
    assert_eq!(get(&unsigned).await.status(), StatusCode::FORBIDDEN);
    let ports: Vec<_> = hub
        .requests()
        .into_iter()
        .map(|request| request.port)
        .collect();
    assert_eq!(ports, [Port::Hub, Port::Cdn, Port::Cdn]);
}

#[tokio::test]
async fn both_ports_honour_ranges() {
    let (hub, [_, newest]) = common::hub();
    let plain = format!("{}/{ID}/resolve/{newest}/vocab.txt", hub.endpoint());
    let lfs = get(&plain.replace("vocab.txt", "model.safetensors")).await;
    for (url, path) in [
        (plain.as_str(), "vocab.txt"),
        (text(&lfs, "location"), "model.safetensors"),
    ] {
        let bytes = file(path);
        let size = bytes.len();
        for (range, part) in [
            ("bytes=0-0", 0..1),
            ("bytes=262143-262145", 262_143..262_146),
            ("bytes=100-", 100..size),
            ("bytes=-7", size - 7..size),
            ("bytes=5-99999999", 5..size),
        ] {
            let response = send(Method::GET, url, &[("range", range)]).await;
            assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT, "{range}");
            let content_range = format!("bytes {}-{}/{size}", part.start, part.end - 1);
            assert_eq!(text(&response, "content-range"), content_range);
            assert_eq!(response.bytes().await.unwrap(), bytes[part], "{range}");
        }
        let beyond = send(Method::GET, url, &[("range", &format!("bytes={size}-"))]).await;
        assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
        assert_eq!(text(&beyond, "content-range"), format!("bytes */{size}"));
        for range in ["bytes=2-1", "bytes=0-1,3-4", "lines=0-1"] {
            let response = send(Method::GET, url, &[("range", range)]).await;
            assert_eq!(
                (response.status(), response.content_length()),
                (StatusCode::OK, Some(size as u64))
            );
        }
    }
}

#[tokio::test]
async fn what_is_not_there_is_refused_in_the_hubs_words() {
    let (hub, [_, newest]) = common::hub();
    let unknown = "0".repeat(40);
    for (path, status, code) in [
        ("api/models/robots/none".to_owned(), 401, "RepoNotFound"),
        (
            "robots/none/resolve/main/config.json".to_owned(),
            401,
            "RepoNotFound",
        ),
        (
            format!("datasets/{ID}/resolve/main/config.json"),
            401,
            "RepoNotFound",
        ),
        (
            format!("api/models/{ID}/revision/{unknown}"),
            404,
            "RevisionNotFound",
        ),
        (format!("api/models/{ID}/tree/v2"), 404, "RevisionNotFound"),
        (
            format!("{ID}/resolve/{}/config.json", &newest[..7]),
            404,
            "RevisionNotFound",
        ),
        (
            format!("api/models/{ID}/tree/main/none"),
            404,
            "EntryNotFound",
        ),
        (format!("{ID}/resolve/main/none"), 404, "EntryNotFound"),
    ] {
        let response = get(&format!("{}/{path}", hub.endpoint())).await;
        assert_eq!(
            (response.status().as_u16(), text(&response, "x-error-code")),
            (status, code),
            "{path}"
        );
        assert!(!text(&response, "x-error-message").is_empty());
        if code == "EntryNotFound" {
            assert_eq!(text(&response, "x-repo-commit"), newest);
        }
    }
    let nothing = get(&format!("{}/nothing", hub.endpoint())).await;
    assert_eq!(nothing.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_gated_repository_wants_the_token_that_was_granted() {
    let hub = TestHub::start().unwrap();
    let gated = Repository::new("robots/gated").unwrap().gated("hf_granted");
    hub.serve(gated.commit_files([("config.json", "{}")]).unwrap());
    let url = format!("{}/robots/gated/resolve/main/config.json", hub.endpoint());
    for (token, status) in [
        (None, 401),
        (Some("hf_other"), 403),
        (Some("hf_granted"), 200),
    ] {
        let bearer = token.map(|token| format!("Bearer {token}"));
        let headers: Vec<_> = bearer
            .iter()
            .map(|value| ("authorization", &**value))
            .collect();
        let response = send(Method::GET, &url, &headers).await;
        assert_eq!(response.status().as_u16(), status, "{token:?}");
        assert_eq!(
            response.headers().contains_key("x-error-code"),
            status != 200
        );
    }
    let tokens: Vec<_> = hub
        .requests()
        .iter()
        .map(|r| r.token().map(str::to_owned))
        .collect();
    assert_eq!(
        tokens,
        [None, Some("hf_other".into()), Some("hf_granted".into())]
    );
    let info = json_of(get(&format!("{}/api/models/robots/gated", hub.endpoint())).await).await;
    assert_eq!(info["gated"], "manual");
}

#[tokio::test]
async fn a_repository_can_move_on_while_it_is_served() {
    let (hub, [_, newest]) = common::hub();
    let moved = common::repository(ID)
        .commit_files([("config.json", "{}")])
        .unwrap();
    hub.serve(moved.clone());
    let info = json_of(get(&format!("{}/api/models/{ID}", hub.endpoint())).await).await;
    assert_eq!(info["sha"], json!(moved.commits()[2]));
    let old = get(&format!(
        "{}/{ID}/resolve/{newest}/README.md",
        hub.endpoint()
    ))
    .await;
    assert_eq!(old.status(), StatusCode::OK);
}

async fn get(url: &str) -> Response {
    send(Method::GET, url, &[]).await
}

async fn send(method: Method, url: &str, headers: &[(&str, &str)]) -> Response {
    let client = reqwest::Client::builder()
        .redirect(redirect::Policy::none())
        .no_proxy();
    let mut request = client.build().unwrap().request(method, url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

async fn json_of(response: Response) -> Value {
    assert_eq!(response.status(), StatusCode::OK);
    serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
}

fn text<'a>(response: &'a Response, name: &str) -> &'a str {
    response
        .headers()
        .get(name)
        .unwrap_or_else(|| panic!("{name} is missing"))
        .to_str()
        .unwrap()
}
