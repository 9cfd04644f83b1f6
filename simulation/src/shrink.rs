//! Makes the world of a failing seed smaller: which of its faults are needed to break the promise?

use crate::mutant::Mutant;
use crate::scenario::Scenario;
use crate::world::World;

/// What is left of a scenario's faults, by their numbers.
#[derive(Debug)]
pub struct Shrunk {
    pub needed: Vec<usize>,
    pub of: usize,
    pub worlds: u32,
}

/// Leaves out one fault after the other for as long as the same promise is broken. None: the seed
/// breaks no promise.
#[must_use]
pub fn shrink(seed: u64, mutant: Option<Mutant>) -> Option<Shrunk> {
    let scenario = Scenario::draw(seed, mutant);
    let broken = |needed: &[usize]| {
        let world = World::new(scenario.clone().with_only(needed), mutant);
        world.run().violation.map(|violation| violation.rule)
    };
    let mut needed: Vec<usize> = (0..scenario.faults.len()).collect();
    let (rule, of, mut worlds) = (broken(&needed)?, needed.len(), 1);
    for fault in 0..of {
        let without: Vec<_> = needed.iter().copied().filter(|it| *it != fault).collect();
        worlds += 1;
        if broken(&without) == Some(rule) {
            needed = without;
        }
    }
    Some(Shrunk { needed, of, worlds })
}

impl Scenario {
    /// The same world with some of its faults only.
    #[must_use]
    pub fn with_only(mut self, numbers: &[usize]) -> Self {
        let faults = std::mem::take(&mut self.faults).into_iter().enumerate();
        let kept = faults.filter(|(number, _)| numbers.contains(number));
        self.faults = kept.map(|(_, planned)| planned).collect();
        self
    }
}
