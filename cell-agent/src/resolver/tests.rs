//! Real sockets on loopback, with a name server of our own upstream.

use std::time::Duration;

use cfx_process::shutdown::Shutdown;
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::net::TcpStream;

use super::forward::{read_message, write_message};
use super::*;

const GATEWAY: Ipv4Addr = Ipv4Addr::new(100, 64, 112, 1);
const DEADLINE: Duration = Duration::from_secs(20);

fn loopback() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

async fn start(upstreams: Vec<SocketAddr>) -> (Resolver, Supervisor) {
    let supervisor = Supervisor::new("test", Shutdown::new());
    let config = ResolverConfig {
        listen: loopback(),
        answer: GATEWAY,
        domains: vec!["apps.localhost".to_owned()],
        upstreams,
    };
    let resolver = Resolver::start(config, &supervisor).await;
    (resolver.expect("started"), supervisor)
}

fn request(id: u16, name: &str) -> Vec<u8> {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    let name = Name::from_ascii(name).expect("a name");
    message.add_query(Query::query(name, RecordType::A));
    message.to_vec().expect("bytes")
}

async fn ask_udp(to: SocketAddr, request: &[u8]) -> Message {
    let socket = UdpSocket::bind(loopback()).await.expect("bound");
    socket.send_to(request, to).await.expect("sent");
    let mut buffer = vec![0; 4096];
    let received = tokio::time::timeout(DEADLINE, socket.recv(&mut buffer)).await;
    let length = received.expect("in time").expect("received");
    Message::from_vec(&buffer[..length]).expect("a message")
}

async fn ask_tcp(to: SocketAddr, requests: &[Vec<u8>]) -> Vec<Message> {
    let mut stream = TcpStream::connect(to).await.expect("connected");
    let mut replies = Vec::new();
    for request in requests {
        write_message(&mut stream, request).await.expect("written");
        let reply = tokio::time::timeout(DEADLINE, read_message(&mut stream)).await;
        let reply = reply.expect("in time").expect("read").expect("a reply");
        replies.push(Message::from_vec(&reply).expect("a message"));
    }
    replies
}

fn address(reply: &Message) -> Option<Ipv4Addr> {
    match reply.answers.first()?.data {
        RData::A(address) => Some(address.0),
        _ => None,
    }
}

/// A resolver whose every name is the platform's stands in for the machine's name server.
async fn upstream() -> (Resolver, Supervisor) {
    let (resolver, supervisor) = start(Vec::new()).await;
    let everything = ["com".to_owned()];
    resolver.set_domains(&everything).expect("set");
    (resolver, supervisor)
}

#[tokio::test]
async fn names_are_answered_or_passed_on_over_both_transports() {
    let (upstream, _one) = upstream().await;
    let (resolver, _two) = start(vec![upstream.address()]).await;
    let to = resolver.address();
    let own = request(1, "shop.apps.localhost.");
    let foreign = request(2, "example.com.");
    assert_eq!(address(&ask_udp(to, &own).await), Some(GATEWAY));
    let passed_on = ask_udp(to, &foreign).await;
    assert_eq!(passed_on.metadata.id, 2);
    assert_eq!(address(&passed_on), Some(GATEWAY));
    let replies = ask_tcp(to, &[own, foreign]).await;
    let addresses: Vec<_> = replies.iter().map(address).collect();
    assert_eq!(addresses, [Some(GATEWAY), Some(GATEWAY)]);
}

#[tokio::test]
async fn the_next_name_server_is_asked_when_one_is_silent() {
    let silent = UdpSocket::bind(loopback()).await.expect("bound");
    let silent = silent.local_addr().expect("an address");
    let (upstream, _one) = upstream().await;
    // Nobody listens at the first one any more.
    let (resolver, _two) = start(vec![silent, upstream.address()]).await;
    let reply = ask_udp(resolver.address(), &request(3, "example.com.")).await;
    assert_eq!(address(&reply), Some(GATEWAY));
}

#[tokio::test]
async fn without_an_answer_the_client_is_told_and_the_platform_s_names_still_work() {
    let silent = UdpSocket::bind(loopback()).await.expect("bound");
    let upstream = silent.local_addr().expect("an address");
    let (resolver, _supervisor) = start(vec![upstream]).await;
    let to = resolver.address();
    let failed = ask_udp(to, &request(4, "example.com.")).await;
    assert_eq!(failed.metadata.id, 4);
    assert_eq!(failed.metadata.response_code, ResponseCode::ServFail);
    assert_eq!(failed.queries.len(), 1);
    let own = ask_udp(to, &request(5, "x.apps.internal.")).await;
    assert_eq!(address(&own), Some(GATEWAY));
}

#[tokio::test]
async fn one_client_s_flood_is_refused_at_its_own_limit() {
    let forwarder = Arc::new(Forwarder::new(Vec::new()));
    let client = |last| std::net::IpAddr::from([100, 64, 112, last]);
    let places: Vec<_> = (0..100)
        .filter_map(|_| forwarder.admit(client(2)))
        .collect();
    assert_eq!(places.len(), 64);
    assert!(forwarder.admit(client(3)).is_some(), "the neighbour");
    drop(places);
    assert!(
        forwarder.admit(client(2)).is_some(),
        "after its answers came"
    );
    let all: Vec<_> = (2..20)
        .flat_map(|last| std::iter::repeat_n(client(last), 64))
        .filter_map(|client| forwarder.admit(client))
        .collect();
    assert_eq!(all.len(), 512);
}

#[tokio::test]
async fn domains_come_and_go_while_it_runs() {
    let (resolver, _supervisor) = start(Vec::new()).await;
    let name = request(6, "x.shop.example.");
    let before = ask_udp(resolver.address(), &name).await;
    assert_eq!(before.metadata.response_code, ResponseCode::ServFail);
    let domains = ["shop.example".to_owned()];
    resolver.set_domains(&domains).expect("set");
    assert_eq!(
        address(&ask_udp(resolver.address(), &name).await),
        Some(GATEWAY)
    );
    assert!(resolver.set_domains(&[".".to_owned()]).is_err());
    assert_eq!(
        address(&ask_udp(resolver.address(), &name).await),
        Some(GATEWAY)
    );
}
