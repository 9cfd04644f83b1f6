//! One look at an instance, over a real socket and under a deadline.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use cfx_protocol::health::Check;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// `HTTP/1.1 200`: as much of an answer as is looked at, bytes.
const STATUS_BYTES: usize = 12;

/// Where an instance's ports are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub ip: IpAddr,
    pub ports: Vec<u16>,
}

impl Target {
    /// A number that differs among the instances of a cell: the end of the address.
    #[must_use]
    pub fn number(&self) -> u32 {
        match self.ip {
            IpAddr::V4(ip) => ip.to_bits(),
            IpAddr::V6(ip) => u32::from(ip.segments()[7]),
        }
    }
}

/// Ok, or what is wrong in Cloud Foundry's words.
pub async fn probe(check: &Check, target: &Target, timeout: Duration) -> Result<(), String> {
    match check {
        Check::Process => Ok(()),
        Check::Port => {
            for port in &target.ports {
                connect(target.ip, *port, timeout).await.map(drop)?;
            }
            Ok(())
        }
        Check::Http { endpoint } => match target.ports.first() {
            Some(port) => http(target.ip, *port, endpoint, timeout).await,
            None => Err("Failed to make HTTP request: the process has no port".to_owned()),
        },
    }
}

async fn connect(ip: IpAddr, port: u16, timeout: Duration) -> Result<TcpStream, String> {
    let address = SocketAddr::new(ip, port);
    let told = |why: String| format!("Failed to make TCP connection to {address}: {why}");
    match tokio::time::timeout(timeout, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => {
            Err(told("connection refused".to_owned()))
        }
        Ok(Err(error)) => Err(told(error.to_string())),
        Err(_) => Err(told(format!(
            "timed out after {:.2} seconds",
            timeout.as_secs_f64()
        ))),
    }
}

async fn http(ip: IpAddr, port: u16, endpoint: &str, timeout: Duration) -> Result<(), String> {
    if endpoint.bytes().any(|byte| byte <= b' ') {
        return Err("Failed to make HTTP request: the endpoint holds a blank".to_owned());
    }
    let told =
        |why: &str| format!("Failed to make HTTP request to '{endpoint}' on port {port}: {why}");
    let exchange = async {
        let mut stream = connect(ip, port, timeout).await?;
        let request = format!(
            "GET {endpoint} HTTP/1.1\r\nHost: {}\r\nUser-Agent: cfx-healthcheck\r\nAccept: */*\r\nConnection: close\r\n\r\n",
            SocketAddr::new(ip, port)
        );
        let broken = |error: std::io::Error| told(&error.to_string());
        stream.write_all(request.as_bytes()).await.map_err(broken)?;
        let mut head = [0; STATUS_BYTES];
        stream.read_exact(&mut head).await.map_err(broken)?;
        Ok::<_, String>(head)
    };
    let late = |_| {
        told(&format!(
            "timed out after {:.2} seconds",
            timeout.as_secs_f64()
        ))
    };
    let head = tokio::time::timeout(timeout, exchange)
        .await
        .map_err(late)??;
    match status(&head) {
        Some("200") => Ok(()),
        Some(status) => Err(format!(
            "HTTP request to '{endpoint}' on port {port} returned status code {status}"
        )),
        None => Err(told("the answer is not HTTP")),
    }
}

fn status(head: &[u8; STATUS_BYTES]) -> Option<&str> {
    let text = std::str::from_utf8(head).ok()?;
    let status = text
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.get(2..))?;
    status
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then_some(status)
}
