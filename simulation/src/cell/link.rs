//! The cell's side of its link: registers, follows, reports, with the deadlines and pauses of the
//! real one. What a report says is composed by the real code.

use std::time::Duration;

use cfx_cell_agent::agent::picture::Picture;
use cfx_cell_agent::link::Acknowledged;
use cfx_cell_agent::plan::Followed;
use cfx_process::entropy::IdSource;
use cfx_process::retry::Backoff;
use cfx_protocol::actual::ReportReply;
use cfx_protocol::cell::CellRegistration;
use cfx_protocol::generation::Refused;
use cfx_protocol::link::{RHYTHM_MS, STREAM_SILENCE_MAX_MS};
use uuid::Uuid;

use super::CellEvent;
use crate::around::Around;
use crate::network::{Call, Peer, Up};
use crate::world::Event;

/// The agent's own constants.
const REDIAL_FIRST: Duration = Duration::from_millis(100);
const REDIAL_MAX: Duration = Duration::from_secs(2);
const CALL_MAX: Duration = Duration::from_secs(3);
const GATHER: Duration = Duration::from_millis(10);
const RHYTHM: Duration = Duration::from_millis(RHYTHM_MS);
const SILENCE_MAX: Duration = Duration::from_millis(STREAM_SILENCE_MAX_MS);

/// Something on the link is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkEvent {
    Dial,
    /// No answer to a registration, or no first frame.
    Late(Call),
    Silence(Call),
    Report,
    ReportLate(Call),
}

#[derive(Debug)]
enum Following {
    Nobody,
    Registering(Call),
    Stream { stream: Call, heard: Duration },
}

#[derive(Debug)]
pub struct Link {
    cell: usize,
    life: u64,
    boot: Uuid,
    registration: CellRegistration,
    following: Following,
    acknowledged: Acknowledged,
    /// The report that nobody has answered yet.
    reporting: Option<(Call, Box<Picture>)>,
    reported_changes: u64,
    next_report: Duration,
    backoff: Backoff,
    ids: IdSource,
}

impl Link {
    pub fn open(
        cell: usize,
        life: u64,
        registration: CellRegistration,
        around: &mut Around,
    ) -> Self {
        let mut link = Self {
            cell,
            life,
            boot: around.dice.guid(),
            registration,
            following: Following::Nobody,
            acknowledged: Acknowledged::default(),
            reporting: None,
            reported_changes: 0,
            next_report: Duration::MAX,
            backoff: Backoff::new(REDIAL_FIRST, REDIAL_MAX),
            ids: IdSource::seeded(around.dice.roll()),
        };
        link.later(Duration::ZERO, LinkEvent::Dial, around);
        link.report_after(GATHER, around);
        link
    }

    fn peer(&self) -> Peer {
        Peer::Cell(self.cell)
    }

    fn later(&self, delay: Duration, event: LinkEvent, around: &mut Around) {
        let event = CellEvent::Link {
            life: self.life,
            event,
        };
        around.after(delay, Event::Cell(self.cell, event));
    }

    pub fn dial(&mut self, around: &mut Around) {
        if matches!(self.following, Following::Nobody) {
            let call = around.call();
            self.following = Following::Registering(call);
            let registration = Box::new(self.registration.clone());
            around.send_up(self.peer(), Up::Register { call, registration });
            self.later(CALL_MAX, LinkEvent::Late(call), around);
        }
    }

    pub fn registered(&mut self, call: Call, around: &mut Around) {
        if matches!(self.following, Following::Registering(waiting) if waiting == call) {
            let stream = around.call();
            self.following = Following::Stream {
                stream,
                heard: around.now,
            };
            around.send_up(self.peer(), Up::Follow { stream });
            self.later(SILENCE_MAX, LinkEvent::Silence(stream), around);
        }
    }

    /// Is this the stream that is followed? Then something was heard on it.
    pub fn hears(&mut self, from: Call, around: &mut Around) -> bool {
        match &mut self.following {
            Following::Stream { stream, heard } if *stream == from => {
                *heard = around.now;
                true
            }
            _ => {
                around.send_up(self.peer(), Up::Left { stream: from });
                false
            }
        }
    }

    /// What following a frame means for the stream.
    pub fn followed(&mut self, followed: Result<Followed, Refused>, around: &mut Around) {
        match followed {
            Ok(Followed::Changed | Followed::Unchanged) => self.backoff.reset(),
            Ok(Followed::Doubts) => self.redial(RHYTHM, around),
            Ok(Followed::Gap) | Err(_) => self.redial(Duration::ZERO, around),
        }
    }

    pub fn refused(&mut self, call: Call, around: &mut Around) {
        if self.waits_for(call) {
            self.redial(Duration::ZERO, around);
        }
        if self
            .reporting
            .as_ref()
            .is_some_and(|(waiting, ..)| *waiting == call)
        {
            self.reported(call, None, around);
        }
    }

    pub fn late(&mut self, call: Call, around: &mut Around) {
        if matches!(self.following, Following::Registering(waiting) if waiting == call) {
            self.redial(Duration::ZERO, around);
        }
    }

    pub fn silence(&mut self, of: Call, around: &mut Around) {
        let Following::Stream { stream, heard } = self.following else {
            return;
        };
        if stream != of {
            return;
        }
        let left = (heard + SILENCE_MAX).saturating_sub(around.now);
        if left.is_zero() {
            self.redial(Duration::ZERO, around);
        } else {
            self.later(left, LinkEvent::Silence(of), around);
        }
    }

    fn waits_for(&self, call: Call) -> bool {
        match self.following {
            Following::Nobody => false,
            Following::Registering(waiting) => waiting == call,
            Following::Stream { stream, .. } => stream == call,
        }
    }

    fn redial(&mut self, pause: Duration, around: &mut Around) {
        self.leave(around);
        let pause = pause.max(self.backoff.next(&self.ids));
        self.later(pause, LinkEvent::Dial, around);
    }

    /// The machine closes what its process had open.
    pub fn leave(&mut self, around: &mut Around) {
        if let Following::Stream { stream, .. } = self.following {
            around.send_up(self.peer(), Up::Left { stream });
        }
        self.following = Following::Nobody;
    }

    /// The picture has changed this often.
    pub fn noticed(&mut self, changes: u64, around: &mut Around) {
        if self.reporting.is_none() && changes > self.reported_changes {
            self.report_after(GATHER, around);
        }
    }

    fn report_after(&mut self, wait: Duration, around: &mut Around) {
        let at = around.now + wait;
        if self.next_report <= around.now || at < self.next_report {
            self.next_report = at;
            self.later(wait, LinkEvent::Report, around);
        }
    }

    pub fn wants_to_report(&self, around: &Around) -> bool {
        self.reporting.is_none() && around.now >= self.next_report
    }

    pub fn report(&mut self, picture: Picture, around: &mut Around) {
        self.next_report = Duration::MAX;
        let mut report = self.acknowledged.compose(&picture);
        report.cell = self.registration.guid;
        report.boot = self.boot;
        self.reported_changes = picture.changes;
        let call = around.call();
        let report = Box::new(report);
        around.send_up(self.peer(), Up::Report { call, report });
        self.reporting = Some((call, Box::new(picture)));
        self.later(CALL_MAX, LinkEvent::ReportLate(call), around);
    }

    /// Answers the number of the last crash that the controller has now.
    pub fn reported(
        &mut self,
        call: Call,
        reply: Option<ReportReply>,
        around: &mut Around,
    ) -> Option<u64> {
        let (_, picture) = self.reporting.take_if(|(waiting, ..)| *waiting == call)?;
        self.acknowledged.note(&picture, reply);
        self.report_after(RHYTHM + GATHER, around);
        reply?;
        picture.crashes.last().map(|(number, _)| *number)
    }
}
