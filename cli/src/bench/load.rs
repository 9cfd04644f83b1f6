//! Load: connections that ask again as soon as they were answered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cfx_process::clock::Clock;
use cfx_process::shutdown::Shutdown;
use cfx_process::supervisor::{OnEnd, Supervisor};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::failure::{Failure, Outcome};

/// Largest answer the generator takes, bytes.
const ANSWER_MAX_BYTES: usize = 64 * 1024;
/// The status of an answer that counts.
pub(super) const OK: u16 = 200;
/// Time that one question has when it is asked whether anybody answers.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// Time that connections have to end.
const JOIN_DEADLINE: Duration = Duration::from_secs(5);

/// Where to ask and how hard.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load<'a> {
    pub(super) address: SocketAddr,
    pub(super) host: &'a str,
    pub(super) connections: u32,
    pub(super) duration: Duration,
}

/// Answers with status 200 that came within the duration. Any other answer is a failure.
pub(super) async fn run(load: Load<'_>, clock: &Clock) -> Outcome<u64> {
    let stop = Shutdown::new();
    let supervisor = Supervisor::new("load", stop.clone());
    let (answered, failed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let request: Arc<str> = get(load.host).into();
    for _ in 0..load.connections {
        let (answered, failed) = (Arc::clone(&answered), Arc::clone(&failed));
        let (request, stop) = (Arc::clone(&request), stop.clone());
        supervisor.spawn("connection", OnEnd::Nothing, async move {
            let asking = ask(load.address, &request, &answered);
            if let Some(Err(_)) = stop.or(asking).await {
                failed.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    clock.sleep(load.duration).await;
    let count = answered.load(Ordering::Relaxed);
    stop.request();
    supervisor.join(JOIN_DEADLINE).await;
    match failed.load(Ordering::Relaxed) {
        0 => Ok(count),
        broken => Err(Failure::new(format!(
            "{broken} of {} connections to {} failed",
            load.connections, load.address
        ))),
    }
}

/// The question that all ask.
pub(super) fn get(host: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

/// Ask once on a connection of its own: is the answer a 200?
pub(super) async fn answers(address: SocketAddr, host: &str) -> bool {
    let asking = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = get(host);
        exchange(&mut stream, &request, &mut Vec::new()).await
    };
    matches!(
        tokio::time::timeout(PROBE_TIMEOUT, asking).await,
        Ok(Ok(OK))
    )
}

/// Answers of a steady load, until it is stopped. Whatever is not a 200 has failed.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) answered: AtomicU64,
    pub(super) failed: AtomicU64,
}

/// Ask again and again with a pause between, whatever comes, until `stop`.
pub(super) async fn steady(
    address: SocketAddr,
    host: &str,
    pause: Duration,
    clock: &Clock,
    tally: &Tally,
    stop: &Shutdown,
) {
    let request = get(host);
    let mut connection = None;
    while !stop.is_requested() {
        let status = ask_once(&mut connection, address, &request).await;
        let count = match status {
            Ok(OK) => &tally.answered,
            _ => &tally.failed,
        };
        count.fetch_add(1, Ordering::Relaxed);
        clock.sleep(pause).await;
    }
}

/// One question on a connection that is kept as long as it lasts: the status of the answer.
pub(super) async fn ask_once(
    connection: &mut Option<TcpStream>,
    address: SocketAddr,
    request: &str,
) -> std::io::Result<u16> {
    let asking = async {
        let mut stream = match connection.take() {
            Some(stream) => stream,
            None => TcpStream::connect(address).await?,
        };
        stream.set_nodelay(true)?;
        let status = exchange(&mut stream, request, &mut Vec::new()).await?;
        *connection = Some(stream);
        Ok(status)
    };
    tokio::time::timeout(PROBE_TIMEOUT, asking)
        .await
        .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
}

/// Ask for ever.
async fn ask(address: SocketAddr, request: &str, answered: &AtomicU64) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(ANSWER_MAX_BYTES);
    loop {
        if exchange(&mut stream, request, &mut buffer).await? != OK {
            return Err(bad("not a 200"));
        }
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

/// One request, one whole answer: its status.
async fn exchange(
    stream: &mut TcpStream,
    request: &str,
    buffer: &mut Vec<u8>,
) -> std::io::Result<u16> {
    stream.write_all(request.as_bytes()).await?;
    buffer.clear();
    let mut head = None;
    loop {
        if let Some(Head { status, whole }) = head
            && buffer.len() >= whole
        {
            return Ok(status);
        }
        if stream.read_buf(buffer).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if head.is_none() {
            head = head_of(buffer)?;
        }
    }
}

/// What the head of an answer tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    status: u16,
    /// Bytes of head and body.
    whole: usize,
}

fn bad(what: &str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, what.to_owned())
}

/// The head, once it is there.
fn head_of(buffer: &[u8]) -> std::io::Result<Option<Head>> {
    let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&buffer[..end]).map_err(|_| bad("not text"))?;
    let version = head
        .strip_prefix("HTTP/1.1 ")
        .or_else(|| head.strip_prefix("HTTP/1.0 "));
    let status = version.and_then(|rest| rest.get(..3)?.parse().ok());
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim())
    });
    let length: usize = length
        .and_then(|digits| digits.parse().ok())
        .filter(|length| *length <= ANSWER_MAX_BYTES)
        .ok_or_else(|| bad("no usable length"))?;
    Ok(Some(Head {
        status: status.ok_or_else(|| bad("not HTTP"))?,
        whole: end + 4 + length,
    }))
}

#[cfg(test)]
mod tests {
    use super::{Head, head_of};

    #[test]
    fn an_answer_is_whole_at_its_length_and_tells_its_status() {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        let whole = |status, whole| Some(Head { status, whole });
        assert_eq!(head_of(head).expect("fine"), whole(200, head.len() + 5));
        assert_eq!(head_of(&head[..20]).expect("fine"), None);
        let old = b"HTTP/1.0 404 No\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(head_of(old).expect("fine"), whole(404, old.len()));
        for bad in [
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n",
            "SSH-2.0 hello\r\nContent-Length: 1\r\n\r\n",
        ] {
            head_of(bad.as_bytes()).expect_err(bad);
        }
    }
}
