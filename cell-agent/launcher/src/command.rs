//! The one message an agent sends to a launcher: what to run, with which environment, where.
//!
//! It travels through a FIFO and is never written to a disk: the environment holds credentials.
//!
//! ```text
//! "cfx1"  length of the body (u32, little endian)  body
//! body:   records of  tag (one byte)  value  NUL
//!         D directory, once   E key=value, any number
//!         S shell command, or A argument, at least one
//! ```

use std::fmt;

/// Longest body, bytes. The kernel takes a quarter of the stack limit (2 MiB of the usual 8) for
/// arguments and environment together; half of that leaves room for its pointers.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// Bytes before the body.
pub const HEADER_BYTES: usize = 8;

const MAGIC: &[u8; 4] = b"cfx1";

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    pub program: Program,
    /// The whole environment: nothing is inherited.
    pub env: Vec<(String, String)>,
    pub directory: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// Executed as it is; the first is looked up in the command's own PATH.
    Exec(Vec<String>),
    /// A Cloud Foundry start command: run by bash after the profile scripts of the droplet.
    Shell(String),
}

/// The message cannot be made or understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandError {
    /// A value holds a NUL byte, which no argument or variable can.
    Nul {
        what: &'static str,
    },
    /// A variable's name is empty or holds `=`.
    VariableName(String),
    Empty,
    TooLong {
        bytes: usize,
    },
    Malformed(&'static str),
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nul { what } => write!(f, "a NUL byte in {what}"),
            Self::VariableName(name) => write!(f, "`{name}` cannot name a variable"),
            Self::Empty => f.write_str("there is no program to run"),
            Self::TooLong { bytes } => write!(
                f,
                "command and environment have {bytes} bytes, more than the {BODY_BYTES_MAX} allowed"
            ),
            Self::Malformed(what) => write!(f, "not a launcher command: {what}"),
        }
    }
}

impl std::error::Error for CommandError {}

impl Command {
    /// The message as it goes through the FIFO.
    pub fn encode(&self) -> Result<Vec<u8>, CommandError> {
        let mut body = Vec::with_capacity(4096);
        push(&mut body, b'D', "the directory", &self.directory)?;
        for (key, value) in &self.env {
            if key.is_empty() || key.contains('=') {
                return Err(CommandError::VariableName(key.clone()));
            }
            push(
                &mut body,
                b'E',
                "the environment",
                &format!("{key}={value}"),
            )?;
        }
        match &self.program {
            Program::Shell(command) => push(&mut body, b'S', "the start command", command)?,
            Program::Exec(arguments) if arguments.is_empty() => return Err(CommandError::Empty),
            Program::Exec(arguments) => {
                for argument in arguments {
                    push(&mut body, b'A', "an argument", argument)?;
                }
            }
        }
        let too_long = CommandError::TooLong { bytes: body.len() };
        if body.len() > BODY_BYTES_MAX {
            return Err(too_long);
        }
        let length = u32::try_from(body.len()).map_err(|_| too_long)?;
        let mut message = Vec::with_capacity(HEADER_BYTES + body.len());
        message.extend_from_slice(MAGIC);
        message.extend_from_slice(&length.to_le_bytes());
        message.append(&mut body);
        Ok(message)
    }

    /// The command in `received`, or none as long as bytes are missing.
    pub fn decode(received: &[u8]) -> Result<Option<Self>, CommandError> {
        let Some((header, rest)) = received.split_first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        if !header.starts_with(MAGIC) {
            return Err(CommandError::Malformed("wrong first bytes"));
        }
        let [.., a, b, c, d] = *header;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        if length > BODY_BYTES_MAX {
            return Err(CommandError::TooLong { bytes: length });
        }
        match rest.get(..length) {
            Some(body) => Self::decode_body(body).map(Some),
            None => Ok(None),
        }
    }

    fn decode_body(body: &[u8]) -> Result<Self, CommandError> {
        let mut directory = None;
        let mut env = Vec::new();
        let mut shell = None;
        let mut arguments = Vec::new();
        let records = body
            .strip_suffix(&[0])
            .ok_or(CommandError::Malformed("it has no end"))?;
        for record in records.split(|byte| *byte == 0) {
            let (tag, value) = record
                .split_first()
                .ok_or(CommandError::Malformed("an empty record"))?;
            let value = std::str::from_utf8(value)
                .map_err(|_| CommandError::Malformed("a value is not UTF-8"))?;
            match tag {
                b'D' => directory = Some(value.to_owned()),
                b'E' => {
                    let (key, value) = value
                        .split_once('=')
                        .ok_or(CommandError::Malformed("a variable without ="))?;
                    env.push((key.to_owned(), value.to_owned()));
                }
                b'S' => shell = Some(value.to_owned()),
                b'A' => arguments.push(value.to_owned()),
                _ => return Err(CommandError::Malformed("an unknown record")),
            }
        }
        let program = match shell {
            Some(command) => Program::Shell(command),
            None if arguments.is_empty() => return Err(CommandError::Empty),
            None => Program::Exec(arguments),
        };
        let directory = directory.ok_or(CommandError::Malformed("no directory"))?;
        Ok(Self {
            program,
            env,
            directory,
        })
    }
}

fn push(body: &mut Vec<u8>, tag: u8, what: &'static str, value: &str) -> Result<(), CommandError> {
    if value.bytes().any(|byte| byte == 0) {
        return Err(CommandError::Nul { what });
    }
    body.push(tag);
    body.extend_from_slice(value.as_bytes());
    body.push(0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell() -> Command {
        Command {
            program: Program::Shell("python3 app.py --greeting 'a = b'".to_owned()),
            env: vec![
                ("EMPTY".to_owned(), String::new()),
                ("VCAP_SERVICES".to_owned(), "{\"a\":\"x=y\"}\n".to_owned()),
            ],
            directory: "/home/vcap/app".to_owned(),
        }
    }

    #[test]
    fn a_command_survives_the_way_whatever_the_cut() {
        let exec = Command {
            program: Program::Exec(vec!["/bin/echo".to_owned(), String::new(), "ä".to_owned()]),
            ..shell()
        };
        for command in [shell(), exec] {
            let message = command.encode().expect("encodes");
            for cut in 0..message.len() {
                assert_eq!(Command::decode(&message[..cut]), Ok(None), "cut at {cut}");
            }
            assert_eq!(Command::decode(&message), Ok(Some(command)));
        }
    }

    #[test]
    fn what_cannot_be_executed_is_refused_before_it_is_sent() {
        let with = |change: fn(&mut Command)| {
            let mut command = shell();
            change(&mut command);
            command.encode().expect_err("refused")
        };
        assert_eq!(
            with(|c| c.env.push(("A".to_owned(), "x\0y".to_owned()))),
            CommandError::Nul {
                what: "the environment"
            }
        );
        assert_eq!(
            with(|c| c.env.push(("A=B".to_owned(), String::new()))),
            CommandError::VariableName("A=B".to_owned())
        );
        assert_eq!(
            with(|c| c.program = Program::Exec(Vec::new())),
            CommandError::Empty
        );
        assert!(matches!(
            with(|c| c.program = Program::Shell("x".repeat(BODY_BYTES_MAX))),
            CommandError::TooLong { .. }
        ));
    }

    #[test]
    fn foreign_bytes_are_refused_not_waited_for() {
        for wrong in [
            b"GET / HTTP/1.1\r\n".as_slice(),
            b"cfx1\xff\xff\xff\xff",
            b"cfx1\x03\0\0\0Z?\0",
            b"cfx1\x02\0\0\0D/",
            b"cfx1\x03\0\0\0D/\0",
        ] {
            assert!(Command::decode(wrong).is_err(), "{wrong:?}");
        }
    }
}
