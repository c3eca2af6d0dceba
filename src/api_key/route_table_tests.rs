//! Which row is for a request: by example, and against a plainer way of finding it.

use proptest::prelude::*;

use super::route_table::*;

fn row(methods: &str, path: &str, scope: &str) -> Row {
    let methods = methods.split(' ').filter(|m| !m.is_empty()).map(str::to_owned).collect();
    Row { methods, path: path.to_owned(), scope: scope.to_owned() }
}

fn table(rows: &[(&str, &str, &str)]) -> RouteTable {
    let rows: Vec<Row> = rows.iter().map(|(methods, path, scope)| row(methods, path, scope)).collect();
    RouteTable::parse(&rows).unwrap()
}

/// What a request needs, as one text; `None` when no row is for it.
fn needed(table: &RouteTable, method: &str, path: &str) -> Option<String> {
    match table.needed(method, path) {
        Ok(words) => Some(words.join(" ")),
        Err(Unrouted::NoRoute) => None,
        Err(Unrouted::Ambiguous(how)) => Some(format!("ambiguous: {how}")),
    }
}

#[test]
fn the_most_specific_row_is_the_one_and_no_other_steps_in_s_k4() {
    let rows = [
        ("*", "/v1/{rest...}", "all:any"),
        ("GET", "/v1/instances/{id}", "instances:read"),
        ("DELETE POST", "/v1/instances/{id}", "instances:write instances:delete"),
        ("GET", "/v1/instances/mine", ""),
        ("GET", "/v1/{kind}/{id}/logs", "logs:read"),
        ("*", "/v1/instances/{id}/logs", "instances:logs"),
        ("PUT", "/v1/instances/{id}/logs", "instances:turn"),
        ("GET", "/v1/files/{path...}", "files:read"),
        ("GET", "/v1/files/", "files:list"),
    ];
    let mut reversed = rows;
    reversed.reverse();
    for table in [table(&rows), table(&reversed)] {
        for (method, path, expected) in [
            ("GET", "/v1/instances/7", Some("instances:read")),
            ("HEAD", "/v1/instances/7", Some("instances:read")),
            ("POST", "/v1/instances/7", Some("instances:write instances:delete")),
            ("PUT", "/v1/instances/7", None),
            ("BREW", "/v1/instances/7", None),
            ("GET", "/v1/instances/mine", Some("")),
            ("HEAD", "/v1/instances/mine", Some("")),
            ("POST", "/v1/instances/mine", None),
            ("GET", "/v1/volumes/7/logs", Some("logs:read")),
            ("POST", "/v1/volumes/7/logs", None),
            ("GET", "/v1/instances/7/logs", Some("instances:logs")),
            ("PUT", "/v1/instances/7/logs", Some("instances:turn")),
            ("BREW", "/v1/instances/7/logs", Some("instances:logs")),
            ("GET", "/v1/files/", Some("files:list")),
            ("GET", "/v1/files/a/b/c", Some("files:read")),
            ("DELETE", "/v1/files/a", None),
            ("DELETE", "/v1/volumes", Some("all:any")),
            ("GET", "/v1/", Some("all:any")),
            ("GET", "/v1", None),
            ("GET", "/", None),
            ("GET", "/v2/instances/7", None),
        ] {
            assert_eq!(needed(&table, method, path).as_deref(), expected, "{method} {path}");
        }
    }
}

#[test]
fn what_a_careless_reader_takes_for_a_more_specific_route_is_refused_s_k4() {
    let table = table(&[
        ("*", "/{rest...}", ""),
        ("*", "/admin", "admin:any"),
        ("*", "/files/{rest...}", "files:any"),
        ("GET", "/users/{id}", "users:read"),
    ]);
    for path in ["/Admin", "/ADMIN/", "/admin/", "/files", "/FILES/a", "/Files", "/users/7/", "/Users/7"] {
        assert!(matches!(table.needed("GET", path), Err(Unrouted::Ambiguous(_))), "{path}");
    }
    for (path, expected) in
        [("/admin", "admin:any"), ("/files/", "files:any"), ("/users/A", "users:read"), ("/users/", "")]
    {
        assert_eq!(needed(&table, "GET", path).as_deref(), Some(expected), "{path}");
    }
    for method in ["get", "Get", "", "GE T", "GET\t", "M\u{e4}H", "G3T"] {
        assert!(matches!(table.needed(method, "/admin"), Err(Unrouted::Ambiguous(_))), "{method}");
    }
}

#[test]
fn a_mistake_names_its_row_and_what_is_allowed() {
    let good = row("GET", "/v1/a", "a:read");
    for (bad, problem) in [
        (row("", "/v1", ""), "methods: at least one is needed"),
        (
            row("get", "/v1", ""),
            "methods: \"get\" is not allowed here; GET, POST, PUT, PATCH, DELETE, OPTIONS or \"*\" alone is allowed; HEAD follows GET",
        ),
        (row("HEAD", "/v1", ""), "methods: \"HEAD\" is not allowed here"),
        (row("GET *", "/v1", ""), "methods: \"*\" is not allowed here"),
        (row("GET", "v1", ""), "it does not begin with /"),
        (row("GET", "", ""), "it does not begin with /"),
        (row("GET", "/v1//a", ""), "it has //"),
        (row("GET", "/v1/..", ""), "a segment ends with a dot"),
        (row("GET", "/v1/./a", ""), "a segment ends with a dot"),
        (row("GET", "/v1/a b", ""), "a segment has another character"),
        (row("GET", "/v1/%61", ""), "a segment has another character"),
        (row("GET", "/v1/**", ""), "a segment has another character"),
        (row("GET", "/v1/a{id}", ""), "a segment has another character"),
        (row("GET", "/v1/{id}.json", ""), "a segment has another character"),
        (row("GET", "/v1/{}", ""), "letters, digits and _ are needed within braces"),
        (row("GET", "/v1/{...}", ""), "letters, digits and _ are needed within braces"),
        (row("GET", "/v1/{a...}/b", ""), "{name...} stands for all that is left, so only at the end"),
        (row("GET", "/v1/{a}/{a}", ""), "a name stands in it twice"),
        (row("GET", "/v1/b", "read"), "scope: \"read\" is no scope; resource:action is needed"),
        (row("GET", "/v1/A", ""), "row 1 is for the same path and method"),
        (row("POST GET", "/v1/a", ""), "row 1 is for the same path and method"),
    ] {
        let mistake = RouteTable::parse(&[good.clone(), bad]).unwrap_err();
        assert!(mistake.row == 2 && mistake.problem.contains(problem), "{mistake:?}, {problem}");
    }
    assert!(RouteTable::parse(&[row("GET", "/{a}", ""), row("GET", "/{b}", "")]).is_err());
    assert!(RouteTable::parse(&[good.clone(), row("POST", "/v1/a", ""), row("*", "/v1/a", "")]).is_ok());
    assert!(RouteTable::parse(&vec![good; MOST + 1]).is_err());
    assert!(RouteTable::default().is_empty());
}

/// A pattern of few words, so that rows meet.
fn patterns() -> impl Strategy<Value = String> {
    let segment = prop_oneof![Just("a"), Just("b"), Just("{}")];
    (prop::collection::vec(segment, 1..4), prop_oneof![Just(""), Just("/"), Just("/{rest...}")]).prop_map(
        |(segments, end)| {
            let named = |(at, segment): (usize, &str)| match segment {
                "{}" => format!("/{{p{at}}}"),
                word => format!("/{word}"),
            };
            segments.into_iter().enumerate().map(named).collect::<String>() + end
        },
    )
}

/// Whether a pattern is for a path: a plainer way, by text.
fn fits(pattern: &str, path: &str) -> bool {
    let Some((first, rest)) = pattern
        .trim_start_matches('/')
        .split_once('/')
        .map(|(a, b)| (a, Some(b)))
        .or(Some((pattern.trim_start_matches('/'), None)))
    else {
        return false;
    };
    let path = path.strip_prefix('/').unwrap_or("\u{0}");
    if first == "{rest...}" {
        return path != "\u{0}";
    }
    let (part, left) = path.split_once('/').map_or((path, None), |(part, left)| (part, Some(left)));
    let same = if first.starts_with('{') { !part.is_empty() && part != "\u{0}" } else { first == part };
    same && match (rest, left) {
        (None, None) => true,
        (Some(rest), Some(left)) => fits(&format!("/{rest}"), &format!("/{left}")),
        _ => false,
    }
}

/// What a pattern is sorted by: words before names before the rest.
fn order(pattern: &str) -> String {
    let kind = |segment: &str| match segment {
        "{rest...}" => 'a',
        name if name.starts_with('{') => 'b',
        _ => 'c',
    };
    pattern.split('/').skip(1).map(kind).collect()
}

proptest! {
    #[test]
    fn the_row_is_the_one_that_a_plainer_search_finds_in_any_order_s_k4(
        paths in prop::collection::hash_set(patterns(), 1..8),
        asked in "(/[abc]){1,4}/?",
        seed: u64,
    ) {
        let mut rows: Vec<(String, String)> =
            paths.into_iter().enumerate().map(|(n, path)| (path, format!("row:{n}"))).collect();
        let expected = rows.iter().filter(|(path, _)| fits(path, &asked)).max_by_key(|(path, _)| order(path)).cloned();
        let read = |rows: &[(String, String)]| {
            let rows: Vec<Row> = rows.iter().map(|(path, scope)| row("*", path, scope)).collect();
            RouteTable::parse(&rows)
        };
        // Two patterns that differ by a name only are one.
        let Ok(table) = read(&rows) else { return Ok(()) };
        let found = table.needed("GET", &asked).map(|words| words.join(" "));
        let turn = usize::try_from(seed % 97).unwrap_or(0) % rows.len();
        rows.rotate_left(turn);
        prop_assert_eq!(&read(&rows).unwrap().needed("GET", &asked).map(|words| words.join(" ")), &found);
        match found {
            Ok(scope) => prop_assert_eq!(Some(scope), expected.map(|(_, scope)| scope)),
            Err(Unrouted::NoRoute) => prop_assert_eq!(expected, None),
            // Only where the same path with its last slash turned has a more specific row.
            Err(Unrouted::Ambiguous(_)) => {
                let turned = asked.strip_suffix('/').map_or_else(|| format!("{asked}/"), str::to_owned);
                let other = rows.iter().filter(|(path, _)| fits(path, &turned)).map(|(path, _)| order(path)).max();
                prop_assert!(other > expected.map(|(path, _)| order(&path)));
            }
        }
    }

    #[test]
    fn nothing_written_or_asked_brings_it_down(path in "\\PC{0,40}", method in "\\PC{0,8}", asked in "[/a-c{}.%0-9\\\\;?]{0,30}") {
        let _ = RouteTable::parse(&[row("GET", &path, &method)]);
        let table = table(&[("*", "/a/{x}", "a:b"), ("GET", "/{rest...}", "")]);
        let _ = table.needed(&method, &asked);
        let _ = table.needed("GET", &path);
    }
}
