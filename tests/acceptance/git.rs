//! The git decoy, driven by git itself.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::json;

use crate::nest::{Nest, client, have};
use crate::seen::{check_frame, events};

const TITLE: &str = "Git Repository Clone Attempt";
const GIT: &str = "
[[bird]]
name = \"files-02\"
personality = \"linux-nas\"
[bird.git]
";

#[test]
fn git_clone_fetch_push_and_archive() {
    if !have("git") {
        return;
    }
    let nest = Nest::start(GIT);
    let port = nest.port("git");
    let host = format!("{}:{port}", nest.address);
    let url = |repo: &str| format!("git://{host}/{repo}");
    let work = nest.dir.path().join("work");
    let work = work.to_str().unwrap();
    client("git", &["init", "-q", work]);
    let identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"];
    let mut commit = vec!["-C", work];
    commit.extend(identity);
    commit.extend(["commit", "-q", "--allow-empty", "-m", "a"]);
    client("git", &commit);

    let cloned = nest.dir.path().join("cloned");
    for arguments in [
        &["clone", &url("project.git"), cloned.to_str().unwrap()][..],
        &["ls-remote", &url("srv/infra config")],
        &["-c", "protocol.version=0", "ls-remote", &url("old.git")],
        &[
            "-C",
            work,
            "push",
            &url("backup.git"),
            "HEAD:refs/heads/main",
        ],
        &["archive", &format!("--remote={}", url("site.git")), "HEAD"],
    ] {
        let said = client("git", arguments);
        let refusal = "remote error: access denied or repository not exported: /";
        assert!(said.contains(refusal), "{arguments:?}: {said}");
    }

    let incident = nest.incident(TITLE, 5);
    check_frame(&nest, &incident, "19001", port);
    let repos = [
        "/project.git",
        "/srv/infra config",
        "/old.git",
        "/backup.git",
        "/site.git",
    ];
    let wanted: Vec<_> = repos
        .iter()
        .map(|r| json!({"HOST": host, "REPO": r}))
        .collect();
    assert_eq!(events(&incident), wanted);
}

#[test]
fn a_thousand_requests_are_one_incident() {
    let nest = Nest::start(GIT);
    let port = nest.port("git");
    for n in 0..1_000 {
        let line = format!("git-upload-pack /r{n}.git\0host=h{n}\0");
        let mut stream = TcpStream::connect((nest.address, port)).unwrap();
        write!(stream, "{:04x}{line}", line.len() + 4).unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        let wanted = format!("ERR access denied or repository not exported: /r{n}.git");
        assert_eq!(said, format!("{:04x}{wanted}", wanted.len() + 4));
    }
    let incident = nest.incident(TITLE, 1_000);
    let wanted: Vec<_> = (0..1_000)
        .map(|n| json!({"HOST": format!("h{n}"), "REPO": format!("/r{n}.git")}))
        .collect();
    assert_eq!(events(&incident), wanted);
}
