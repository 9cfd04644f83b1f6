//! Turns records into lines and gives them to their takers: the log sink and a file.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use cfx_process::shutdown::Shutdown;
use cfx_protocol::telemetry::{LOG_BATCH_MAX, LOG_LINE_MAX_BYTES, LogEnvelope, Stream};
use tokio::sync::mpsc;

use super::AccessRecord;
use crate::edges::LogSink;
use crate::events::Events;

/// Source type of access log lines.
const SOURCE_TYPE: &str = "RTR";

/// Writes the access log of all threads.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) batches: mpsc::Receiver<Vec<AccessRecord>>,
    pub(crate) sink: Arc<dyn LogSink>,
    pub(crate) file: Option<PathBuf>,
    pub(crate) events: Arc<Events>,
    /// Requested once every thread has ended.
    pub(crate) stop: Shutdown,
}

impl Writer {
    /// Write until the last thread is gone and its last batch is out.
    pub(crate) async fn run(mut self) {
        let mut file = self.open();
        loop {
            let batch = match self.stop.or(self.batches.recv()).await {
                Some(Some(batch)) => batch,
                Some(None) => return,
                None => match self.batches.try_recv() {
                    Ok(batch) => batch,
                    Err(_) => return,
                },
            };
            let lines: Vec<String> = batch.iter().map(line).collect();
            file = self.append(file, &lines).await;
            self.deliver(&batch, lines).await;
        }
    }

    fn open(&self) -> Option<File> {
        let path = self.file.as_ref()?;
        let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        let file = folder.and_then(|()| OpenOptions::new().create(true).append(true).open(path));
        match file {
            Ok(file) => Some(file),
            Err(error) => {
                self.events.access_log_file_unusable(&error);
                None
            }
        }
    }

    /// A file that cannot be written is given up: the sink still has the lines.
    async fn append(&self, file: Option<File>, lines: &[String]) -> Option<File> {
        let mut file = file?;
        let mut text = lines.join("\n");
        text.push('\n');
        let written = tokio::task::spawn_blocking(move || {
            file.write_all(text.as_bytes())?;
            Ok::<File, std::io::Error>(file)
        });
        match written.await {
            Ok(Ok(file)) => Some(file),
            Ok(Err(error)) => {
                self.events.access_log_file_unusable(&error);
                None
            }
            Err(error) => {
                self.events.access_log_file_unusable(&error);
                None
            }
        }
    }

    /// Only requests that reached an app have somebody to read about them.
    async fn deliver(&self, records: &[AccessRecord], lines: Vec<String>) {
        let envelopes: Vec<LogEnvelope> = records
            .iter()
            .zip(lines)
            .filter_map(|(record, line)| envelope(record, line))
            .collect();
        for batch in envelopes.chunks(LOG_BATCH_MAX) {
            if let Err(error) = self.sink.deliver(batch).await {
                self.events.log_lines_undelivered(batch.len(), &error);
            }
        }
    }
}

fn line(record: &AccessRecord) -> String {
    let mut line = record.to_string();
    // Lines are ASCII, so every position is a boundary.
    line.truncate(LOG_LINE_MAX_BYTES);
    line
}

fn envelope(record: &AccessRecord, line: String) -> Option<LogEnvelope> {
    let endpoint = record.endpoint.as_ref()?;
    Some(LogEnvelope {
        timestamp_ns: i64::try_from(record.started_at.as_nanosecond()).unwrap_or(i64::MAX),
        app: endpoint.app,
        stream: Stream::Out,
        source_type: SOURCE_TYPE.to_owned(),
        instance_index: endpoint.index,
        process: Some(endpoint.process),
        instance: Some(endpoint.instance),
        payload: line.into_bytes(),
    })
}
