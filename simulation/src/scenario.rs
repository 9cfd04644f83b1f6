//! What one seed means: how large the platform is, what its apps are like, how bad its network and
//! its runtimes are, and what goes wrong when. Drawn once, before the world begins.

use std::time::Duration;

use cfx_cell_agent::plan::BackOff;

use crate::dice::Dice;
use crate::fault::{self, Fault, Kind};
use crate::mutant::Mutant;
use crate::network::Weather;

/// One world.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub seed: u64,
    pub cells: Vec<CellShape>,
    pub routers: usize,
    pub apps: Vec<AppShape>,
    pub weather: Weather,
    pub temper: Temper,
    pub back_off: BackOff,
    /// Longest time an app takes to end after TERM.
    pub farewell_max_ms: u64,
    /// Between two commands of users, at most.
    pub command_every_ms: u64,
    /// Between two requests through one router, at most.
    pub request_every_ms: u64,
    /// How long the controller takes to notice that a peer is gone without a word.
    pub dead_peer: Duration,
    pub faults: Vec<Planned>,
    /// Nothing goes wrong any more, and nobody asks for anything.
    pub calm_at: Duration,
    /// Nothing goes wrong at all: then no request may fail.
    pub is_calm: bool,
}

#[derive(Debug, Clone)]
pub struct CellShape {
    pub zone: &'static str,
    pub memory_mb: u64,
    pub slots: u32,
    pub starts: u32,
    pub has_stack: bool,
    pub is_tagged: bool,
}

#[derive(Debug, Clone)]
pub struct AppShape {
    pub instances: u32,
    pub memory_mb: u32,
    /// From its command to its first answer.
    pub boot_ms: (u64, u64),
    pub start_timeout_s: u32,
    /// Percent of starts that end in a crash, sooner or later.
    pub crash_percent: u32,
    /// Percent of starts that never answer.
    pub mute_percent: u32,
}

/// How runtimes behave.
#[derive(Debug, Clone, Copy)]
pub struct Temper {
    pub prepare_ms: (u64, u64),
    /// Percent of preparations that fail, and that hang first.
    pub fail_percent: u32,
    pub hang_percent: u32,
    /// Apps misbehave as they are.
    pub apps_misbehave: bool,
}

/// A fault with its time.
#[derive(Debug, Clone)]
pub struct Planned {
    pub at: Duration,
    pub lasts: Duration,
    pub fault: Fault,
}

impl Scenario {
    #[must_use]
    pub fn draw(seed: u64, mutant: Option<Mutant>) -> Self {
        let mut dice = Dice::new(seed);
        let is_calm = dice.chance(12);
        let apps: Vec<_> = (0..dice.count(1, 4))
            .map(|_| app(&mut dice, is_calm))
            .collect();
        let cells = cells(&mut dice, &apps);
        let routers = usize::from(dice.chance(60)) + 1;
        let calm_at = dice.ms(20_000, 60_000);
        let drawn = fault::mix(&mut dice);
        let mix = mutant.and_then(Mutant::shows_under).unwrap_or(&drawn);
        let count = if is_calm { 0 } else { dice.between(1, 9) };
        let mut faults: Vec<_> = (0..count)
            .map(|_| planned(&mut dice, mix, cells.len(), routers, calm_at))
            .collect();
        faults.sort_by_key(|planned| planned.at);
        Self {
            seed,
            routers,
            weather: weather(&mut dice, is_calm),
            temper: temper(&mut dice, is_calm),
            back_off: BackOff {
                first: dice.ms(1_000, 4_000),
                reset_after: dice.ms(10_000, 40_000),
            },
            farewell_max_ms: *dice.pick(&[50, 1_000, 9_000, 15_000]),
            command_every_ms: *dice.pick(&[1_500, 4_000, 15_000]),
            request_every_ms: *dice.pick(&[80, 300]),
            dead_peer: dice.ms(3_000, 12_000),
            faults,
            calm_at,
            is_calm,
            cells,
            apps,
        }
    }
}

fn app(dice: &mut Dice, is_calm: bool) -> AppShape {
    let (crash, mute) = match dice.between(0, 9) {
        _ if is_calm => (0, 0),
        0..=4 => (0, 0),
        5..=7 => (25, 5),
        8 => (70, 0),
        _ => (10, 40),
    };
    AppShape {
        instances: dice.count(1, 6),
        memory_mb: *dice.pick(&[64, 128, 256, 512]),
        boot_ms: *dice.pick(&[(1, 50), (100, 900), (1_000, 4_000)]),
        start_timeout_s: dice.count(5, 12),
        crash_percent: crash,
        mute_percent: mute,
    }
}

/// Cells with room for all apps twice over, in most worlds even after one cell is lost.
fn cells(dice: &mut Dice, apps: &[AppShape]) -> Vec<CellShape> {
    let needed: u64 = apps
        .iter()
        .map(|app| u64::from(app.instances) * u64::from(app.memory_mb))
        .sum();
    let count = dice.between(1, 5);
    let is_tight = dice.chance(15);
    let share = needed * 4 / count.max(2) + 1_024;
    let cell = |number: u64| {
        let memory_mb = if is_tight {
            needed / count + 256
        } else {
            share
        };
        CellShape {
            zone: ["z1", "z2", "z3"][dice.index(3)],
            memory_mb,
            slots: dice.count(30, 60),
            starts: dice.count(2, 8),
            // The first cell takes everything.
            has_stack: number == 0 || !dice.chance(10),
            is_tagged: number > 0 && dice.chance(10),
        }
    };
    (0..count).map(cell).collect()
}

fn weather(dice: &mut Dice, is_calm: bool) -> Weather {
    Weather {
        latency_ms: *dice.pick(&[(0, 2), (1, 20), (5, 150)]),
        loss_percent: if is_calm {
            0
        } else {
            *dice.pick(&[0, 0, 0, 2, 10, 30])
        },
        duplicate_percent: if is_calm {
            0
        } else {
            *dice.pick(&[0, 0, 5, 20])
        },
    }
}

fn temper(dice: &mut Dice, is_calm: bool) -> Temper {
    Temper {
        prepare_ms: *dice.pick(&[(5, 40), (50, 600), (300, 2_500)]),
        fail_percent: if is_calm {
            0
        } else {
            *dice.pick(&[0, 0, 3, 20])
        },
        hang_percent: if is_calm {
            0
        } else {
            *dice.pick(&[0, 0, 2, 8])
        },
        apps_misbehave: !is_calm,
    }
}

fn planned(
    dice: &mut Dice,
    mix: &[Kind],
    cells: usize,
    routers: usize,
    calm_at: Duration,
) -> Planned {
    let latest = u64::try_from(calm_at.as_millis()).unwrap_or(u64::MAX);
    let at = dice.ms(2_000, latest - 1_000);
    // Short ones heal before anybody is taken for lost; long ones do not.
    let lasts = match dice.between(0, 2) {
        0 => dice.ms(50, 2_500),
        1 => dice.ms(2_500, 8_000),
        _ => dice.ms(8_000, 30_000),
    };
    Planned {
        at,
        lasts,
        fault: Fault::draw(dice, mix, cells, routers),
    }
}
