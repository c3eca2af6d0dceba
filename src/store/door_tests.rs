//! Tests of the doors: group commit, savepoints, bounded waiting, faults of the disk and of the network; on both databases where it applies.

#![expect(clippy::panic, reason = "jobs that panic are what is tested")]

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use diesel::Connection as _;
use diesel::RunQueryDsl as _;
use diesel::connection::SimpleConnection as _;

use super::conn::{Conn, open_writer, target};
use super::families;
use super::spent::{Once, SpentKind, once};
use super::testing::{NOW, World, block_on, family, postgres_database, race};
use super::{Store, StoreError, meta};
use crate::base::fault::Fault;
use crate::base::id::FamilyId;

fn kept(world: &World, key: &'static str) -> bool {
    world.read(move |c| meta::find(c, key)).unwrap().is_some()
}

#[test]
fn nobody_is_answered_before_the_commit_of_the_whole_batch() {
    let world = World::sqlite();
    let (running, first_runs) = channel();
    let (let_first, first_waits) = channel::<()>();
    let store = Arc::clone(&world.store);
    let first = std::thread::spawn(move || {
        block_on(store.write(move |_| {
            running.send(()).unwrap();
            first_waits.recv().unwrap();
            Ok(())
        }))
    });
    first_runs.recv().unwrap();

    // The writer stands in the first job; these two join its batch.
    let store = Arc::clone(&world.store);
    let early = std::thread::spawn(move || block_on(store.write(|c| meta::set(c, "early", "1"))));
    std::thread::sleep(Duration::from_millis(50));
    let (running, last_runs) = channel();
    let (let_last, last_waits) = channel::<()>();
    let store = Arc::clone(&world.store);
    let last = std::thread::spawn(move || {
        block_on(store.write(move |_| {
            running.send(()).unwrap();
            last_waits.recv().unwrap();
            Ok(())
        }))
    });
    std::thread::sleep(Duration::from_millis(50));
    let_first.send(()).unwrap();
    last_runs.recv().unwrap();

    // The early write has run, its batch has not been committed.
    std::thread::sleep(Duration::from_millis(50));
    assert!(!early.is_finished() && !first.is_finished());
    assert!(!kept(&world, "early"));
    let_last.send(()).unwrap();
    for thread in [first, early, last] {
        thread.join().unwrap().unwrap();
    }
    assert!(kept(&world, "early"));
}

#[test]
fn a_job_that_fails_or_panics_is_rolled_back_alone() {
    for world in World::each() {
        let answers = race(24, |n| {
            world.write(move |c| {
                meta::set(c, &format!("job {n}"), "1")?;
                match n % 4 {
                    0 => panic!("job {n}"),
                    1 => Err(Fault::new("testing", "on purpose").into()),
                    2 => {
                        // A nested transaction that panics leaves its savepoint open.
                        c.transaction(|c| {
                            meta::set(c, &format!("nested {n}"), "1")?;
                            if n == 2 { panic!("nested") } else { Ok::<_, StoreError>(()) }
                        })
                    }
                    _ => Ok(()),
                }
            })
        });
        for (n, answer) in answers.iter().enumerate() {
            let works = n % 4 == 3 || (n % 4 == 2 && n != 2);
            assert_eq!(answer.is_ok(), works, "{n}: {answer:?}");
            let there = world.read(move |c| meta::find(c, &format!("job {n}"))).unwrap();
            assert_eq!(there.is_some(), works, "{n}");
        }
        assert!(matches!(&answers[4], Err(StoreError::Fault(f)) if f.to_string().contains("job 4")));
        assert!(!kept(&world, "nested 2"));
        world.write(|c| meta::set(c, "after", "1")).unwrap();
    }
}

#[test]
fn rotation_has_one_winner_of_32() {
    for world in World::each() {
        let row = family(1);
        let id = row.id;
        world.write(move |c| families::begin(c, &row)).unwrap();
        let won = race(32, |_| world.write(move |c| families::rotate(c, id, 0, NOW.plus(5))).unwrap());
        assert_eq!(won.iter().filter(|w| **w).count(), 1);
        let after = world.read(move |c| families::find(c, id)).unwrap().unwrap();
        assert_eq!((after.generation, after.rotated_at), (1, NOW.plus(5)));
        assert!(world.write(move |c| families::revoke(c, id, NOW)).unwrap());
        assert!(!world.write(move |c| families::revoke(c, id, NOW)).unwrap(), "revoked already");
        assert!(!world.write(move |c| families::rotate(c, id, 1, NOW)).unwrap(), "revoked");
    }
}

#[test]
fn a_code_has_one_winner_of_32_and_the_others_learn_its_family() {
    for world in World::each() {
        let answers = race(32, |n| {
            let row = family(n as u64 + 100);
            world
                .write(move |c| {
                    let first = once(c, SpentKind::Code, b"the code", Some(row.id), NOW.plus(60))?;
                    if first == Once::First {
                        families::begin(c, &row)?;
                    }
                    Ok((row.id, first))
                })
                .unwrap()
        });
        let winners: Vec<FamilyId> =
            answers.iter().filter(|(_, o)| *o == Once::First).map(|(id, _)| *id).collect();
        assert_eq!(winners.len(), 1);
        for (_, answer) in &answers {
            assert!(matches!(answer, Once::First) || *answer == Once::Again(Some(winners[0])));
        }
        let other = |c: &mut Conn| once(c, SpentKind::Pending, b"the code", None, NOW);
        assert_eq!(world.write(other).unwrap(), Once::First, "another kind is another thing");
    }
}

#[test]
fn a_full_queue_is_busy_at_once() {
    let world = World::sqlite_with(|o| o.queue = 4);
    let (running, runs) = channel();
    let (go_on, waits) = channel::<()>();
    let store = Arc::clone(&world.store);
    let first = std::thread::spawn(move || {
        block_on(store.write(move |_| {
            running.send(()).unwrap();
            waits.recv().unwrap();
            Ok(())
        }))
    });
    runs.recv().unwrap();
    std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..4).map(|_| scope.spawn(|| world.write(|_| Ok(())))).collect();
        std::thread::sleep(Duration::from_millis(100));
        assert!(matches!(world.write(|_| Ok(())), Err(StoreError::Busy)));
        go_on.send(()).unwrap();
        for thread in waiting {
            thread.join().unwrap().unwrap();
        }
    });
    first.join().unwrap().unwrap();
}

#[test]
fn a_file_that_another_process_holds_makes_writes_busy_and_reads_go_on() {
    let world = World::sqlite_with(|o| o.busy_seconds = 1);
    world.write(|c| meta::set(c, "before", "1")).unwrap();
    let Ok(super::conn::Target::Sqlite(path)) = target(world.options.url.reveal()) else { panic!() };
    let mut other = open_writer(&path, &world.options).unwrap();
    other.batch_execute("BEGIN EXCLUSIVE").unwrap();
    let began = Instant::now();
    let answers = race(8, |_| world.write(|c| meta::set(c, "during", "1")));
    assert!(answers.iter().all(|a| matches!(a, Err(StoreError::Busy))), "{answers:?}");
    assert!(began.elapsed() < Duration::from_secs(3), "all wait for one timeout, not one after the other");
    assert!(kept(&world, "before") && !kept(&world, "during"));
    other.batch_execute("ROLLBACK").unwrap();
    world.write(|c| meta::set(c, "after", "1")).unwrap();
}

#[test]
fn a_full_disk_fails_the_whole_batch_and_heals() {
    let world = World::sqlite();
    // SQLite takes a limit on pages for a full disk: the same error at the same places.
    world
        .write(|c| {
            if let Conn::Sqlite(c) = c {
                c.batch_execute("PRAGMA max_page_count = 80").unwrap();
            }
            Ok(())
        })
        .unwrap();
    let big = "x".repeat(200_000);
    let answers = race(8, |n| {
        let big = big.clone();
        world.write(move |c| meta::set(c, &format!("big {n}"), &big))
    });
    assert!(answers.iter().any(|a| matches!(a, Err(StoreError::Unavailable(_)))), "{answers:?}");
    for (n, answer) in answers.iter().enumerate() {
        let there = world.read(move |c| meta::find(c, &format!("big {n}"))).unwrap().is_some();
        assert_eq!(there, answer.is_ok(), "{n}: what was acknowledged is there, and nothing else");
    }
    world
        .write(|c| {
            if let Conn::Sqlite(c) = c {
                c.batch_execute("PRAGMA max_page_count = 1000000").unwrap();
            }
            Ok(())
        })
        .unwrap();
    world.write(move |c| meta::set(c, "after", &big)).unwrap();
    block_on(world.store.ping()).unwrap();
}

#[test]
fn what_was_acknowledged_is_there_after_closing_and_later_writes_are_refused() {
    let world = World::sqlite();
    race(16, |n| world.write(move |c| meta::set(c, &format!("kept {n}"), "1")).unwrap());
    world.store.close();
    assert!(matches!(world.write(|_| Ok(())), Err(StoreError::Unavailable(_))));
    let again = Store::open(&world.options).unwrap();
    assert!(!again.is_fresh() && world.store.is_fresh());
    for n in 0..16 {
        let found = block_on(again.read(move |c| meta::find(c, &format!("kept {n}")))).unwrap();
        assert!(found.is_some());
    }
}

#[test]
fn a_read_cannot_write_on_sqlite() {
    let world = World::sqlite();
    assert!(world.read(|c| meta::set(c, "x", "1")).is_err());
    assert!(!kept(&world, "x"));
}

#[test]
fn connections_that_the_server_closed_are_replaced_without_an_error() {
    let Some(world) = World::postgres() else { return };
    race(8, |n| world.write(move |c| meta::set(c, &format!("before {n}"), "1")).unwrap());
    let Conn::Postgres(mut c) = super::conn::open_postgres(world.options.url.reveal()).unwrap() else {
        panic!()
    };
    diesel::sql_query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    .execute(&mut c)
    .unwrap();
    race(8, |n| world.write(move |c| meta::set(c, &format!("after {n}"), "1")).unwrap());
    world.read(|c| meta::find(c, "after 7")).unwrap().unwrap();
}

#[test]
fn a_deadlock_is_retried() {
    let Some(world) = World::postgres() else { return };
    world.write(|c| meta::set(c, "a", "0").and_then(|()| meta::set(c, "b", "0"))).unwrap();
    let answers = race(2, |n| {
        world.write(move |c| {
            let (one, two) = if n == 0 { ("a", "b") } else { ("b", "a") };
            meta::set(c, one, "1")?;
            std::thread::sleep(Duration::from_millis(100));
            meta::set(c, two, "1")
        })
    });
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
}

#[test]
fn a_server_that_hangs_or_is_exhausted_costs_two_seconds_and_no_more_threads_than_seats() {
    let Some((mut options, database)) = postgres_database() else { return };
    options.pool_size = 1;
    options.queue = 2;
    let store = Store::open(&options).unwrap();
    let began = Instant::now();
    let answers = race(8, |_| {
        block_on(store.read(|c| {
            if let Conn::Postgres(c) = c {
                diesel::sql_query("SELECT pg_sleep(10)").execute(c)?;
            }
            Ok(())
        }))
    });
    assert!(began.elapsed() < Duration::from_millis(3500), "{:?}", began.elapsed());
    let busy = answers.iter().filter(|a| matches!(a, Err(StoreError::Busy))).count();
    assert!(busy >= 5 && answers.iter().all(Result::is_err), "{answers:?}");
    std::thread::sleep(Duration::from_millis(500));
    block_on(store.ping()).unwrap();
    drop(store);
    let mut conn = super::conn::open_postgres_for_migrations(&database.0).unwrap();
    conn.batch_execute(&format!("DROP DATABASE \"{}\" WITH (FORCE)", database.1)).unwrap();
}

#[test]
fn a_server_that_is_down_is_unavailable_within_two_seconds_and_then_at_once() {
    let options = super::StoreOptions::new("postgres://cnx@127.0.0.1:1/cnx");
    assert!(matches!(Store::open(&options), Err(super::OpenError::Unreachable(_))));
    let pool = super::pool::Pool::new("postgres://cnx@127.0.0.1:1/cnx".to_owned(), &options);
    let began = Instant::now();
    let answer = block_on(pool.read(|c| meta::find(c, "x")));
    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    assert!(began.elapsed() < Duration::from_millis(3500), "{:?}", began.elapsed());
    let began = Instant::now();
    let answer = block_on(pool.read(|c| meta::find(c, "x")));
    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    assert!(began.elapsed() < Duration::from_millis(100), "{:?}", began.elapsed());
}
