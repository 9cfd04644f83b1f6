//! What the pool decides, without anything that it makes.

use uuid::Uuid;

use super::*;

fn profile(stack: &str) -> Profile {
    Profile {
        stack: stack.to_owned(),
        size_bytes: 1 << 30,
        fds: 1_024,
    }
}

fn name(number: u128) -> InstanceGuid {
    InstanceGuid(Uuid::from_u128(number))
}

fn pool(most: usize, ready: &[(u128, &str)]) -> Pool {
    Pool {
        most,
        ready: ready
            .iter()
            .map(|(number, stack)| (name(*number), profile(stack)))
            .collect(),
        ..Pool::default()
    }
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn what_was_asked_for_last_is_made_first_and_each_kind_has_its_share() {
    let mut pool = pool(5, &[]);
    assert_eq!(pool.next(), Next::Nothing, "nobody asked for anything");
    pool.want(profile("a"), at(1));
    pool.want(profile("b"), at(2));
    let mut made = Vec::new();
    while let Next::Make(profile) = pool.next() {
        made.push(profile.stack.clone());
        pool.making.push(profile);
    }
    assert_eq!(made, ["b", "b", "b", "a", "a"]);
}

#[test]
fn a_kind_that_nobody_asks_for_makes_room() {
    let mut pool = pool(2, &[(1, "a"), (2, "a")]);
    pool.want(profile("a"), at(1));
    assert_eq!(pool.next(), Next::Nothing);
    pool.want(profile("b"), at(2));
    assert_eq!(pool.next(), Next::End(name(1)));
    assert_eq!(pool.take(&profile("a")), Some(name(1)));
    assert_eq!(pool.next(), Next::Make(profile("b")));
    pool.want(profile("b"), at(1) + FORGET_AFTER);
    assert_eq!(pool.next(), Next::End(name(2)), "`a` is forgotten");
}

#[test]
fn what_was_guessed_goes_with_the_first_that_is_asked_for() {
    let mut pool = pool(1, &[]);
    pool.wanted.push_back((profile("guess"), None));
    assert_eq!(pool.next(), Next::Make(profile("guess")));
    pool.want(profile("a"), at(0));
    assert_eq!(pool.next(), Next::Make(profile("a")));
    assert_eq!(pool.wanted.len(), 1);
}

#[test]
fn no_more_kinds_are_kept_than_there_is_room_for() {
    let mut pool = pool(8, &[]);
    for stack in ["a", "b", "c", "d", "e"] {
        pool.want(profile(stack), at(1));
    }
    let kept: Vec<&str> = pool
        .wanted
        .iter()
        .map(|(one, _)| one.stack.as_str())
        .collect();
    assert_eq!(kept, ["e", "d", "c", "b"]);
    assert_eq!((0..4).map(|place| pool.share(place)).sum::<usize>(), 8);
}

#[test]
fn a_closed_pool_ends_what_it_has_and_makes_nothing() {
    let mut pool = pool(1, &[(1, "a")]);
    pool.want(profile("a"), at(1));
    pool.most = 0;
    assert_eq!(pool.next(), Next::End(name(1)));
    assert!(pool.withdraw(name(1)));
    assert!(!pool.withdraw(name(1)), "somebody was faster");
    assert_eq!(pool.next(), Next::Nothing);
}

#[tokio::test]
async fn a_name_is_known_until_nothing_goes_by_it_and_closing_waits_for_that() {
    let warm = Warm::new(2, Clock::system());
    let taken = |number| {
        warm.add_name(name(number));
        Taken {
            warm: warm.clone(),
            name: name(number),
            is_passed: false,
        }
    };
    let (passed, failed) = (taken(1), taken(2));
    let closing = warm.close();
    tokio::pin!(closing);
    passed.passed_on();
    drop(failed);
    let early = futures_util::FutureExt::now_or_never(closing.as_mut());
    assert!(early.is_none());
    assert_eq!(warm.names(), BTreeSet::from([name(2)]));
    let next = warm.pool.lock().next();
    assert_eq!(next, Next::End(name(2)));
    assert!(warm.pool.lock().withdraw(name(2)));
    warm.drop_name(name(2));
    closing.await;
}
