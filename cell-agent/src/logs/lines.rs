//! Cuts a stream of bytes into lines. Pure.

use cfx_protocol::telemetry::LOG_LINE_MAX_BYTES;

/// Holds the line that has not ended yet, never more than one line's length of it.
#[derive(Debug, Default)]
pub struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    /// Hands each complete line to `take`, without its end; empty ones are left out, longer ones
    /// come in pieces.
    pub fn feed(&mut self, mut bytes: &[u8], mut take: impl FnMut(&[u8])) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (line, rest) = bytes.split_at(end);
            self.append(line, &mut take);
            self.finish(&mut take);
            bytes = rest.get(1..).unwrap_or_default();
        }
        self.append(bytes, &mut take);
    }

    /// The stream has ended: what is there is the last line.
    pub fn finish(&mut self, mut take: impl FnMut(&[u8])) {
        if !self.partial.is_empty() {
            take(&self.partial);
            self.partial.clear();
        }
    }

    fn append(&mut self, mut bytes: &[u8], take: &mut impl FnMut(&[u8])) {
        while self.partial.len() + bytes.len() > LOG_LINE_MAX_BYTES {
            let room = LOG_LINE_MAX_BYTES - self.partial.len();
            let (piece, rest) = bytes.split_at(room);
            self.partial.extend_from_slice(piece);
            take(&self.partial);
            self.partial.clear();
            bytes = rest;
        }
        self.partial.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(chunks: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut lines = Lines::default();
        let mut all = Vec::new();
        for chunk in chunks {
            lines.feed(chunk, |line| all.push(line.to_vec()));
        }
        lines.finish(|line| all.push(line.to_vec()));
        all
    }

    #[test]
    fn lines_are_whole_whatever_the_chunks_and_bytes_are_kept_as_they_are() {
        assert_eq!(
            cut(&[b"a\nb", b"c\n\n", b"\xff\xfe\nlast"]),
            [
                b"a".to_vec(),
                b"bc".to_vec(),
                b"\xff\xfe".to_vec(),
                b"last".to_vec(),
            ]
        );
    }

    #[test]
    fn a_long_line_comes_in_pieces_of_the_longest_length() {
        let long = vec![b'x'; 2 * LOG_LINE_MAX_BYTES + 1];
        let lengths: Vec<_> = cut(&[&long, b"\nnext\n"]).iter().map(Vec::len).collect();
        assert_eq!(lengths, [LOG_LINE_MAX_BYTES, LOG_LINE_MAX_BYTES, 1, 4]);
    }

    proptest! {
        #[test]
        fn no_byte_is_lost_or_invented(text in "[a-c\n]{0,200}", cut_at in 0_usize..200) {
            let bytes = text.as_bytes();
            let (head, tail) = bytes.split_at(cut_at.min(bytes.len()));
            let expected: Vec<_> = text
                .split('\n')
                .filter(|line| !line.is_empty())
                .map(|line| line.as_bytes().to_vec())
                .collect();
            prop_assert_eq!(cut(&[head, tail]), expected);
        }
    }
}
