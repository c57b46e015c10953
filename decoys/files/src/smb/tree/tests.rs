use super::*;
use serde_json::json;

fn made(byte: u8) -> Tree {
    Tree::new(
        &FileTree::default(),
        &Seed::new([byte; 32]),
        Timestamp::from_secs(1_760_000_000),
    )
}

/// Paths of everything in `tree`.
fn paths(tree: &Tree) -> Vec<(String, Node)> {
    let mut all = Vec::new();
    let mut open = vec![String::new()];
    while let Some(path) = open.pop() {
        for node in tree.children(&path) {
            let below = if path.is_empty() {
                node.name.clone()
            } else {
                format!("{path}\\{}", node.name)
            };
            if node.directory {
                open.push(below.clone());
            }
            all.push((below, node));
        }
    }
    all
}

#[test]
fn a_made_up_share_looks_like_a_firms_and_no_two_are_alike() {
    let mut seen = std::collections::HashSet::new();
    for byte in 0..40 {
        let tree = made(byte);
        let all = paths(&tree);
        let files: Vec<_> = all.iter().filter(|(_, node)| !node.directory).collect();
        assert!(
            (55..=190).contains(&files.len()),
            "{}: {} files",
            byte,
            files.len()
        );
        let names: Vec<_> = all.iter().map(|(path, _)| path.as_str()).collect();
        assert!(seen.insert(names.join("/")));
        assert!(
            tree.used() > 10_000_000 && tree.used() < 900_000_000,
            "{}",
            tree.used()
        );
        let interesting = |(path, _): &&(String, Node)| path.to_lowercase().contains("pass");
        assert!(
            files
                .iter()
                .any(|file| interesting(file) || file.0.contains("login"))
        );
        assert!(
            !names.iter().any(|name| name.contains(['{', '}'])),
            "{names:?}"
        );
        for (path, node) in &all {
            assert!(node.created <= node.modified, "{path}");
            assert!(
                node.modified < Timestamp::from_secs(1_760_000_000),
                "{path}"
            );
            assert!(node.created > Timestamp::from_secs(1_500_000_000), "{path}");
            assert_eq!(tree.lookup(path).as_ref(), Some(node));
        }
        let ids: std::collections::HashSet<_> = all.iter().map(|(_, node)| node.id).collect();
        assert_eq!(ids.len(), all.len());
    }
}

#[test]
fn names_are_found_in_any_case_and_only_at_their_place() {
    let tree = made(1);
    let (path, node) = paths(&tree)
        .into_iter()
        .find(|(path, node)| path.contains('\\') && !node.directory)
        .unwrap();
    assert_eq!(tree.lookup(&path.to_uppercase()), Some(node.clone()));
    assert_eq!(tree.lookup(&format!("\\{path}\\")), Some(node));
    assert_eq!(tree.spelling(&path.to_uppercase()), Some(path.clone()));
    let parent = path.rsplit_once('\\').unwrap().0;
    assert_eq!(tree.parent(&path), tree.lookup(parent));
    assert_eq!(tree.parent(""), tree.lookup(""));
    for wrong in [
        &format!("{path}\\x"),
        "..",
        ".",
        "*",
        "nothing",
        &"x".repeat(5_000),
    ] {
        assert_eq!(tree.lookup(wrong), None, "{wrong}");
        assert_eq!(tree.children(wrong), []);
        assert_eq!(tree.read(wrong, 0, 10), b"");
    }
    assert_eq!(tree.children(&path), []);
    assert_eq!(tree.read("", 0, 10), b"");
    assert!(tree.lookup("").unwrap().directory);
}

#[test]
fn any_piece_of_a_file_is_a_piece_of_the_whole() {
    let tree = made(2);
    let files = paths(&tree).into_iter().filter(|(_, node)| !node.directory);
    for (path, node) in files.filter(|(_, node)| node.size < 200_000).take(15) {
        let size = usize::try_from(node.size).unwrap();
        let whole = tree.read(&path, 0, usize::MAX);
        assert_eq!(whole.len(), size, "{path}");
        let mut dice = Dice::of(node.id);
        for _ in 0..20 {
            let from = usize::try_from(dice.below(node.size)).unwrap();
            let most = usize::try_from(dice.below(70_000)).unwrap();
            let end = size.min(from + most);
            assert!(
                tree.read(&path, from as u64, most) == whole[from..end],
                "{path} {from}"
            );
        }
        assert_eq!(tree.read(&path, node.size, 5), b"");
        assert_eq!(tree.read(&path, u64::MAX, usize::MAX), b"");
        assert_eq!(
            tree.read(&path, node.size - 1, usize::MAX),
            whole[size - 1..]
        );
    }
}

#[test]
fn the_operator_may_list_files_with_or_without_sizes() {
    let wire = json!([
        {"name": "Finance", "type": "folder", "children": [
            {"name": "budget.xlsx", "type": "file", "size": 50_000},
            {"name": "old", "children": []},
            {"name": "tiny.docx", "size": "1"},
        ]},
        {"name": "notes.txt", "type": "file"},
        {"name": "empty.txt", "type": "file", "size": 0},
    ]);
    let wished = FileTree::from_json(&wire).unwrap();
    assert_eq!(wished.check(), Ok(()));
    assert_eq!(FileTree::from_json(&wished.to_json()), Some(wished.clone()));
    let tree = Tree::new(
        &wished,
        &Seed::new([3; 32]),
        Timestamp::from_secs(1_760_000_000),
    );
    let names: Vec<_> = tree
        .children("")
        .into_iter()
        .map(|n| (n.name, n.directory))
        .collect();
    let expected = [
        ("empty.txt", false),
        ("Finance", true),
        ("notes.txt", false),
    ];
    assert_eq!(
        names,
        expected.map(|(name, folder)| (name.to_owned(), folder))
    );
    assert_eq!(tree.lookup("finance\\BUDGET.xlsx").unwrap().size, 50_000);
    assert_eq!(
        tree.read("finance\\budget.xlsx", 0, usize::MAX).len(),
        50_000
    );
    assert_eq!(tree.lookup("empty.txt").unwrap().size, 0);
    assert!(tree.lookup("finance\\old").unwrap().directory);
    // No Word file is that small: the listed size is that of the smallest one.
    let tiny = tree.lookup("finance\\tiny.docx").unwrap().size;
    assert_eq!(
        tree.read("finance\\tiny.docx", 0, usize::MAX).len() as u64,
        tiny
    );
    assert!(tree.lookup("notes.txt").unwrap().size > 100);
}

#[test]
fn what_cant_be_a_share_is_refused_in_words() {
    let deep = (0..MAX_DEPTH + 3).fold(
        json!([]),
        |inside, _| json!([{"name": "d", "type": "folder", "children": inside}]),
    );
    let many: Vec<_> = (0..=MAX_ENTRIES)
        .map(|n| json!({"name": n.to_string()}))
        .collect();
    let cases = [
        (json!([{"name": "a\\b"}]), "isn't a name"),
        (json!([{"name": "a?"}]), "isn't a name"),
        (json!([{"name": "a."}]), "isn't a name"),
        (json!([{"name": ".."}]), "isn't a name"),
        (json!([{"name": " "}]), "isn't a name"),
        (json!([{"name": "a\n"}]), "isn't a name"),
        (json!([{"name": "x".repeat(256)}]), "too long"),
        (json!([{"name": "a"}, {"name": "A"}]), "twice"),
        (json!([{"name": "a", "size": MAX_FILE + 1}]), "too large"),
        (deep, "too deep"),
        (json!(many), "more than 5000"),
    ];
    for (wire, problem) in cases {
        let error = FileTree::from_json(&wire).unwrap().check().unwrap_err();
        assert!(error.contains(problem), "{error}");
    }
    for wire in [
        json!({}),
        json!([1]),
        json!([{}]),
        json!([{"name": 1}]),
        json!([{"name": "a", "type": 1}]),
        json!([{"name": "a", "size": -1}]),
        json!([{"name": "a", "size": "x"}]),
        json!([{"name": "a", "colour": "red"}]),
        json!([{"name": "a", "type": "folder", "children": {}}]),
    ] {
        assert_eq!(FileTree::from_json(&wire), None, "{wire}");
    }
}

#[test]
fn a_year_in_a_name_dates_what_lies_there() {
    let wired = json!([{"name": "2021", "type": "folder", "children": [{"name": "a.txt"}]}]);
    let wished = FileTree::from_json(&wired).unwrap();
    for byte in 0..20 {
        let tree = Tree::new(
            &wished,
            &Seed::new([byte; 32]),
            Timestamp::from_secs(1_760_000_000),
        );
        let at = tree.lookup("2021\\a.txt").unwrap().modified;
        let written = at.format("%Y %a %H");
        assert!(
            written.starts_with("2021") || written.starts_with("2022"),
            "{written}"
        );
        assert!(!written.contains('S'), "{written}");
    }
}
