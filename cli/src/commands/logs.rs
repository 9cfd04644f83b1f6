//! `logs`, and how a log line is printed everywhere.

use std::time::Duration;

use serde_json::json;

use crate::args::LogsArgs;
use crate::client::{LogCursor, LogLine};
use crate::context::Context;
use crate::failure::Outcome;
use crate::output::{Terminal, log_time};

/// Between two looks at the log.
pub(super) const LOG_POLL: Duration = Duration::from_millis(250);
/// After a failed look.
const RETRY_PAUSE: Duration = Duration::from_secs(2);

pub(crate) async fn logs(context: &Context, args: &LogsArgs) -> Outcome {
    let space = context.in_space()?;
    let app = space.app(&args.app).await?;
    let terminal = &context.terminal;
    terminal.note(format!("Logs of app {} in {}:", app.name, space.place()));
    let recent = space.api.recent_logs(&app.guid).await?;
    if args.recent {
        for line in &recent {
            print(terminal, line, args.json)?;
        }
        return Ok(());
    }
    let mut cursor = LogCursor::after(&app.guid, &recent, context.clock.now_ns());
    let mut failing = false;
    loop {
        match cursor.look(&space.api).await {
            Ok(lines) => {
                failing = false;
                for line in &lines {
                    print(terminal, line, args.json)?;
                }
                context.clock.sleep(LOG_POLL).await;
            }
            // An app that is deleted, or a login that ended, will not come back.
            Err(error)
                if error
                    .status()
                    .is_some_and(|status| status.is_client_error()) =>
            {
                return Err(error.into());
            }
            Err(error) => {
                if !failing {
                    terminal.warn(format!("{error}; still trying"));
                    failing = true;
                }
                context.clock.sleep(RETRY_PAUSE).await;
            }
        }
    }
}

fn print(terminal: &Terminal, line: &LogLine, as_json: bool) -> Outcome {
    if !as_json {
        terminal.say(formatted(terminal, line));
        return Ok(());
    }
    let object = json!({
        "timestamp": log_time(line.timestamp_ns),
        "source": line.source_type,
        "instance": line.instance,
        "stream": if line.is_error { "ERR" } else { "OUT" },
        "text": line.text,
    });
    terminal.say(object.to_string());
    Ok(())
}

/// `   TIME [SOURCE/INDEX] OUT text`.
pub(super) fn formatted(terminal: &Terminal, line: &LogLine) -> String {
    let style = terminal.style();
    let source = format!("[{}/{}]", line.source_type, line.instance);
    let stream = if line.is_error {
        style.bad("ERR")
    } else {
        "OUT".to_owned()
    };
    format!(
        "   {} {} {stream} {}",
        style.faint(&log_time(line.timestamp_ns)),
        style.strong(&source),
        harmless(&line.text)
    )
}

/// The app's words as they are, but for what would steer the terminal elsewhere than colours.
pub(super) fn harmless(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control() || matches!(c, '\t' | '\x1b'))
        .collect()
}
