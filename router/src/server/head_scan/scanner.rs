//! Follows the framing of HTTP/1 requests, without I/O: where heads begin and end, and which of
//! them must not reach the parser.

/// Bytes of a line that are kept when it spans reads: enough for any Content-Length.
const LINE_KEPT: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    Body(u64),
    ChunkSize,
    ChunkData(u64),
    Trailers,
    /// The bytes are no longer HTTP/1, or hyper will refuse them itself.
    Off,
}

/// Follows the framing, one slice of bytes after the other.
#[derive(Debug)]
pub(super) struct Scanner {
    state: State,
    line: Line,
    head: Head,
}

/// What one head has said so far.
#[derive(Debug, Default)]
struct Head {
    begun: bool,
    content_length: Option<u64>,
    transfer_encoding: bool,
    upgrade: bool,
}

/// The beginning of a line that spans reads.
#[derive(Debug)]
struct Line {
    kept: [u8; LINE_KEPT],
    length: usize,
    last: u8,
}

/// A head that must not reach the parser; the position of the byte that shows it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused(pub(super) usize);

impl Default for Scanner {
    fn default() -> Self {
        Self {
            state: State::Head,
            line: Line {
                kept: [0; LINE_KEPT],
                length: 0,
                last: 0,
            },
            head: Head::default(),
        }
    }
}

impl Scanner {
    pub(super) fn scan(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            match self.state {
                State::Off => return Ok(()),
                State::Body(left) => {
                    let taken = left.min(rest.len() as u64);
                    self.state = if taken == left {
                        State::Head
                    } else {
                        State::Body(left - taken)
                    };
                    at += usize::try_from(taken).unwrap_or(rest.len());
                }
                State::ChunkData(left) => {
                    let taken = left.min(rest.len() as u64);
                    self.state = if taken == left {
                        State::ChunkSize
                    } else {
                        State::ChunkData(left - taken)
                    };
                    at += usize::try_from(taken).unwrap_or(rest.len());
                }
                State::Head | State::ChunkSize | State::Trailers => {
                    let Some(end) = memchr::memchr(b'\n', rest) else {
                        self.line.keep(rest);
                        return Ok(());
                    };
                    self.line_ends(&rest[..end])
                        .map_err(|()| Refused(at + end))?;
                    at += end + 1;
                }
            }
        }
        Ok(())
    }

    /// `tail` and what was kept before make a line whose LF was found.
    fn line_ends(&mut self, tail: &[u8]) -> Result<(), ()> {
        let before_lf = tail.last().copied().unwrap_or(self.line.last);
        let spans = self.line.length > 0;
        let length = self.line.length + tail.len();
        if spans {
            self.line.keep(tail);
        }
        let kept = self.line.kept;
        let line = if spans {
            &kept[..length.min(LINE_KEPT)]
        } else {
            tail
        };
        self.line.length = 0;
        self.line.last = 0;
        match self.state {
            State::Head if before_lf != b'\r' || length == 0 => Err(()),
            State::Head => self.head_line(&line[..line.len().min(length - 1)], length - 1),
            State::ChunkSize => {
                self.chunk_size_line(line);
                Ok(())
            }
            State::Trailers => {
                if length <= 1 {
                    self.head_starts();
                }
                Ok(())
            }
            State::Body(_) | State::ChunkData(_) | State::Off => Ok(()),
        }
    }

    /// A line of a head without its CR LF; `line` may be only its beginning.
    fn head_line(&mut self, line: &[u8], length: usize) -> Result<(), ()> {
        if length == 0 {
            // Empty lines before a request line are skipped, as hyper does.
            return if self.head.begun {
                self.head_ends()
            } else {
                Ok(())
            };
        }
        if !self.head.begun {
            self.head.begun = true;
            return Ok(());
        }
        match line[0] | 0x20 {
            b'c' => self.content_length(line, length),
            b't' => {
                self.head.transfer_encoding |= value_of(line, b"transfer-encoding").is_some();
                Ok(())
            }
            b'u' => {
                self.head.upgrade |= value_of(line, b"upgrade").is_some();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn content_length(&mut self, line: &[u8], length: usize) -> Result<(), ()> {
        let Some(value) = value_of(line, b"content-length") else {
            return Ok(());
        };
        // However it arrives, a line that might not have been kept whole is not believed.
        if length >= LINE_KEPT {
            return Err(());
        }
        let value = std::str::from_utf8(value).map_err(drop)?;
        let value = value.trim_matches([' ', '\t']);
        if value.is_empty() || !value.bytes().all(|b| b.is_ascii_digit()) {
            return Err(());
        }
        self.head.content_length = Some(value.parse().map_err(drop)?);
        Ok(())
    }

    fn head_ends(&mut self) -> Result<(), ()> {
        let head = std::mem::take(&mut self.head);
        if head.transfer_encoding && head.content_length.is_some() {
            return Err(());
        }
        self.state = match head.content_length {
            _ if head.upgrade => State::Off,
            _ if head.transfer_encoding => State::ChunkSize,
            Some(length) if length > 0 => State::Body(length),
            _ => State::Head,
        };
        Ok(())
    }

    fn head_starts(&mut self) {
        self.state = State::Head;
        self.head = Head::default();
    }

    /// hyper is strict about chunks: what this cannot read it refuses.
    fn chunk_size_line(&mut self, line: &[u8]) {
        let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        let size = std::str::from_utf8(&line[..digits])
            .ok()
            .and_then(|digits| u64::from_str_radix(digits, 16).ok());
        self.state = match size {
            Some(0) => State::Trailers,
            // The CR LF after the data belongs to it.
            Some(size) => State::ChunkData(size.saturating_add(2)),
            None => State::Off,
        };
    }

    pub(super) fn is_inside_head(&self) -> bool {
        self.state == State::Head && (self.head.begun || self.line.length > 0)
    }
}

impl Line {
    fn keep(&mut self, bytes: &[u8]) {
        if self.length < LINE_KEPT {
            let count = bytes.len().min(LINE_KEPT - self.length);
            self.kept[self.length..self.length + count].copy_from_slice(&bytes[..count]);
        }
        self.length += bytes.len();
        self.last = bytes.last().copied().unwrap_or(self.last);
    }
}

/// The value of a header line, if it has this lower-case name.
fn value_of<'l>(line: &'l [u8], name: &[u8]) -> Option<&'l [u8]> {
    let (own, value) = (line.get(..name.len())?, line.get(name.len()..)?);
    (own.eq_ignore_ascii_case(name) && value.first() == Some(&b':')).then(|| &value[1..])
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
