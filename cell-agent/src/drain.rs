//! Emptying a cell: before maintenance, or because the whole platform stops.
//!
//! Before maintenance the cell takes nothing new and says so; moving what it has is the controller's
//! work, which starts replacements first and removes assignments afterwards.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use crate::agent::Message;
use crate::agent::picture::Picture;
use crate::warm::Warm;

/// The hand on a cell's drain; cloning it is cheap.
#[derive(Debug, Clone)]
pub struct Drain {
    messages: mpsc::Sender<Message>,
    picture: watch::Receiver<Arc<Picture>>,
    warm: Warm,
}

impl Drain {
    pub(crate) fn new(
        messages: mpsc::Sender<Message>,
        picture: watch::Receiver<Arc<Picture>>,
        warm: Warm,
    ) -> Self {
        Self {
            messages,
            picture,
            warm,
        }
    }

    /// Take nothing new from now on.
    pub async fn begin(&self) {
        self.set(true).await;
    }

    /// Take work again.
    pub async fn end(&self) {
        self.set(false).await;
    }

    /// End everything that runs, and return when nothing of it is on the machine. What is desired is
    /// remembered: the next agent starts it again, under new instance guids.
    pub async fn halt(&self) {
        drop(self.messages.send(Message::Halt).await);
        let mut picture = self.picture.clone();
        drop(picture.wait_for(|picture| picture.halted).await);
        self.warm.close().await;
    }

    async fn set(&self, draining: bool) {
        // An agent that has stopped takes nothing anyway.
        drop(self.messages.send(Message::Drain(draining)).await);
    }

    /// Returns when nothing is left on the cell, or the agent has stopped.
    pub async fn emptied(&self) {
        let mut picture = self.picture.clone();
        let is_empty = |picture: &Arc<Picture>| picture.draining && picture.reports.is_empty();
        drop(picture.wait_for(is_empty).await);
    }
}
