//! How a cell's machine carries out the steps of its agent's plan: how long each takes and how it
//! ends is drawn; what it changes happens at its end, so that an agent killed before has begun it
//! in vain.

use std::time::Duration;

use cfx_cell_agent::plan::Action;
use cfx_protocol::actual::{Address, Outcome};

use super::agent::{News, Order};
use super::machine::Phase;
use super::{Cell, CellEvent};
use crate::around::Around;
use crate::network::Call;
use crate::trace::Fact;
use crate::world::Event;

/// Between TERM and KILL: the agent's own constant.
const GRACEFUL: Duration = Duration::from_secs(10);
/// Before a runtime that does not answer is asked again.
const RUNTIME_RETRY: Duration = Duration::from_millis(300);

/// A step under way.
#[derive(Debug, Clone)]
pub struct Doing {
    order: Order,
    /// A preparation counts only if its ticket is still good.
    ticket: Call,
    fails: bool,
    /// The command went out when the step began.
    armed: Option<bool>,
}

impl Cell {
    pub(super) fn begin(&mut self, life: u64, order: Order, around: &mut Around) {
        let temper = around.temper;
        let mut wait = around.dice.ms(1, 30);
        let (ticket, mut fails, mut armed) = (around.call(), false, None);
        match order.action {
            Action::Prepare { .. } => {
                let busy = self.preparing.len() / self.shape.starts as usize;
                let rounds = u32::try_from(busy).unwrap_or_default() + 1;
                wait = around.dice.ms(temper.prepare_ms.0, temper.prepare_ms.1) * rounds;
                fails = around.dice.chance(temper.fail_percent);
                if around.dice.chance(temper.hang_percent) {
                    (wait, fails) = (around.dice.ms(5_000, 60_000), true);
                }
                self.preparing.insert(order.assignment, ticket);
            }
            Action::Arm => {
                let at_once = around.dice.chance(50);
                armed = at_once.then(|| self.machine.arm(&order, around));
                // A task at that moment is what matters most: it may not run twice.
                if self.dies_arming && (order.runs_once || around.dice.chance(30)) {
                    self.dies_arming = false;
                    around.after(
                        Duration::ZERO,
                        Event::Cell(self.number, CellEvent::AgentDies),
                    );
                }
            }
            Action::Stop => wait += self.terminate(&order, around),
            Action::Abandon => {
                if self.preparing.remove(&order.assignment).is_some() {
                    self.notice(order.assignment, order.start, News::Abandoned, around);
                }
                return;
            }
            _ => {}
        }
        let doing = Box::new(Doing {
            order,
            ticket,
            fails,
            armed,
        });
        around.after(
            wait,
            Event::Cell(self.number, CellEvent::Done { life, doing }),
        );
    }

    fn terminate(&mut self, order: &Order, around: &mut Around) -> Duration {
        let (cell, assignment, instance) = (self.number, order.assignment, order.name());
        let serves = self.machine.phase(instance) == Some(Phase::Listening);
        around.tell(Fact::Stopping {
            cell,
            assignment,
            instance,
            serves,
        });
        let farewell = around.dice.ms(0, self.farewell_max_ms).min(GRACEFUL);
        let runs = self.machine.terminate(instance, farewell, around);
        if runs { farewell } else { Duration::ZERO }
    }

    /// A step has come to its end.
    pub(super) fn done(&mut self, life: u64, doing: Box<Doing>, around: &mut Around) {
        if !self.runtime_answers {
            let again = CellEvent::Done { life, doing };
            return around.after(RUNTIME_RETRY, Event::Cell(self.number, again));
        }
        let order = &doing.order;
        let news = match order.action {
            Action::Prepare { .. } => {
                if self.preparing.get(&order.assignment) != Some(&doing.ticket) {
                    return;
                }
                self.preparing.remove(&order.assignment);
                News::Prepared(self.prepare(order, doing.fails, around))
            }
            Action::Arm => News::Armed(self.arm(life, &doing, around)),
            Action::Conclude => match self.outcome(order) {
                Some(outcome) => News::Concluded(outcome),
                None => return,
            },
            Action::Clear => {
                self.clear(order, around);
                News::Cleared
            }
            Action::Stop => {
                self.clear(order, around);
                self.machine.free(order.assignment, around);
                News::Stopped
            }
            Action::Abandon | Action::Forget => return,
        };
        self.hear(order.assignment, order.start, news, around);
    }

    fn prepare(
        &mut self,
        order: &Order,
        fails: bool,
        around: &mut Around,
    ) -> Result<Address, &'static str> {
        self.clear(order, around);
        if fails {
            return Err("the runtime could not make it");
        }
        let address = self.machine.lease(order.assignment, order.address, around);
        let address = address.ok_or("no address is free")?;
        self.machine
            .make(order.assignment, order.start, address, around);
        Ok(address)
    }

    fn arm(&mut self, life: u64, doing: &Doing, around: &mut Around) -> Result<(), &'static str> {
        let order = &doing.order;
        let armed = doing
            .armed
            .unwrap_or_else(|| self.machine.arm(order, around));
        if !armed {
            return Err("the container is gone");
        }
        if !order.runs_once {
            let (assignment, start) = (order.assignment, order.start);
            let never = CellEvent::Told {
                life,
                assignment,
                start,
                news: News::NeverHealthy,
            };
            let timeout = Duration::from_secs(order.timeout_s.into());
            around.after(timeout, Event::Cell(self.number, never));
            if self.machine.phase(order.name()) == Some(Phase::Listening) {
                self.notice(assignment, start, News::Healthy, around);
            }
        }
        if let Some(Phase::Ended { status }) = self.machine.phase(order.name()) {
            let news = News::Ended {
                status,
                lost: false,
            };
            self.notice(order.assignment, order.start, news, around);
        }
        Ok(())
    }

    /// How a task ended; what is not there any more has failed.
    fn outcome(&self, order: &Order) -> Option<Outcome> {
        match (order.failure.clone()?, self.machine.phase(order.name())) {
            (Outcome::Task { task, .. }, Some(Phase::Ended { status: 0 })) => Some(Outcome::Task {
                task,
                failure: None,
            }),
            (failed, _) => Some(failed),
        }
    }

    fn clear(&mut self, order: &Order, around: &mut Around) {
        for name in order.names() {
            self.machine.remove(name, around);
        }
    }
}
