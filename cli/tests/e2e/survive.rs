//! What ran, and what was made ahead, after the engine or the agent beneath it was killed.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::engine::Engine;
use crate::harness::{Platform, wait};

/// Instances made ahead.
const WARM: usize = 3;
/// The containers are settled when nothing has changed in so many looks.
const LOOKS: u32 = 15;

pub fn engine_and_agent_killed() {
    let mut engine = Engine::start();
    let warm = WARM.to_string();
    let socket = engine.socket();
    let flags = [
        "--runtime",
        "docker",
        "--docker-socket",
        &socket,
        "--warm",
        &warm,
    ];
    let mut platform = Platform::start_with(1, &flags);
    let home = platform.space("kills");
    platform.push_probe(&home, "stays", &["-i", "3"]);
    let before = platform.instances("stays", 3);
    let containers = settled(&engine, 3 + WARM);

    // The agent, with all else of the platform.
    platform.kill_nine();
    platform.up();
    assert_eq!(platform.instances("stays", 3), before);
    assert_eq!(settled(&engine, 3 + WARM), containers, "all were taken up");

    // The engine: apps serve without it, and what it ran is still its own when it is back.
    engine.kill_nine();
    assert_eq!(platform.instances("stays", 3), before);
    engine.up();
    platform.ok_at(&home, &["scale", "stays", "-i", "5"]);
    let grown = platform.instances("stays", 5);
    assert!(grown.is_superset(&before), "{before:?} {grown:?}");
    let containers = settled(&engine, 5 + WARM);

    // Both at once.
    platform.kill_nine();
    engine.kill_nine();
    engine.up();
    platform.up();
    assert_eq!(platform.instances("stays", 5), grown);
    assert_eq!(settled(&engine, 5 + WARM), containers, "all were taken up");

    platform.stop();
    assert_eq!(
        engine.containers(),
        Vec::<String>::new(),
        "containers were left"
    );
    assert_eq!(platform.mounts(), Vec::<String>::new(), "mounts were left");
}

/// The containers, once there are so many and nothing changes any more.
fn settled(engine: &Engine, wanted: usize) -> BTreeSet<String> {
    let (mut last, mut same) = (BTreeSet::new(), 0);
    let settled = wait(Duration::from_secs(90), || {
        let now: BTreeSet<_> = engine.containers().into_iter().collect();
        same = if now == last { same + 1 } else { 0 };
        last = now;
        (last.len() == wanted && same >= LOOKS).then_some(())
    });
    assert!(settled.is_some(), "wanted {wanted} containers: {last:?}");
    last
}
