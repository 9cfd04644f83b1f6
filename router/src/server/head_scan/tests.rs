use super::*;

/// Scan `bytes` in pieces of every size: the answer must not depend on how they arrive.
fn scan(bytes: &[u8]) -> (Result<(), ()>, State) {
    let whole = scan_in_pieces(bytes, bytes.len());
    for size in [1, 2, 3, 7] {
        assert_eq!(scan_in_pieces(bytes, size), whole, "pieces of {size}");
    }
    whole
}

fn scan_in_pieces(bytes: &[u8], size: usize) -> (Result<(), ()>, State) {
    let mut scanner = Scanner::default();
    for piece in bytes.chunks(size.max(1)) {
        if scanner.scan(piece).is_err() {
            return (Err(()), scanner.state);
        }
    }
    (Ok(()), scanner.state)
}

#[test]
fn well_formed_requests_pass_one_after_the_other() {
    for requests in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: b\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\n\n\n\n\nGET / HTTP/1.1\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\n\n\n\n\n\r\n0\r\nT: 1\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    ] {
        assert_eq!(
            scan(requests.as_bytes()),
            (Ok(()), State::Head),
            "{requests:?}"
        );
    }
}

#[test]
fn a_bare_line_feed_in_a_head_is_refused() {
    for requests in [
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nabGET / HTTP/1.1\nHost: a\r\n\r\n",
    ] {
        assert_eq!(scan(requests.as_bytes()).0, Err(()), "{requests:?}");
    }
}

#[test]
fn two_ways_to_tell_the_length_are_refused_in_either_order() {
    for requests in [
        "POST / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-length: 0\r\n\r\n",
    ] {
        assert_eq!(scan(requests.as_bytes()).0, Err(()), "{requests:?}");
    }
}

#[test]
fn a_length_that_is_no_plain_number_is_refused() {
    for value in ["+4", "0x4", "4,4", "", "99999999999999999999999"] {
        let request = format!("POST / HTTP/1.1\r\nContent-Length: {value}\r\n\r\n");
        assert_eq!(scan(request.as_bytes()).0, Err(()), "{value}");
    }
    let padded = format!(
        "POST / HTTP/1.1\r\nContent-Length: {}4\r\n\r\n",
        " ".repeat(99)
    );
    assert_eq!(scan(padded.as_bytes()).0, Err(()));
}

#[test]
fn after_an_upgrade_the_bytes_are_not_looked_at() {
    let request = "GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n\n\n\0\n";
    assert_eq!(scan(request.as_bytes()), (Ok(()), State::Off));
}

#[test]
fn a_head_is_open_from_its_first_byte_to_its_last() {
    let mut scanner = Scanner::default();
    for (piece, open) in [
        ("G", true),
        ("ET / HTTP/1.1\r\n", true),
        ("Host: a\r\n", true),
        ("\r", true),
        ("\n", false),
    ] {
        scanner.scan(piece.as_bytes()).expect("well formed");
        assert_eq!(scanner.is_inside_head(), open, "after {piece:?}");
    }
}
