//! What is answered by the cell itself. Pure: bytes in, a decision out.

use std::net::Ipv4Addr;

use hickory_proto::op::{Message, MessageType, Metadata, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

/// The domain of routes that exist only inside the platform.
const INTERNAL: &str = "apps.internal";
/// Seconds an answer may be kept: the gateway's address outlives every instance, but a domain may
/// be taken from the platform.
const TTL_S: u32 = 10;

/// A domain is not a name that could be asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a domain name")]
pub struct InvalidDomain(pub String);

/// The platform's domains.
#[derive(Debug, Clone)]
pub(super) struct Zones {
    answer: Ipv4Addr,
    domains: Vec<Name>,
}

/// What to do with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    Reply(Vec<u8>),
    Forward,
    /// It is no request: answering could make two servers talk for ever.
    Ignore,
}

impl Zones {
    pub(super) fn new(answer: Ipv4Addr, domains: &[String]) -> Result<Self, InvalidDomain> {
        let all = domains.iter().map(String::as_str).chain([INTERNAL]);
        let domains = all.map(parse).collect::<Result<_, _>>()?;
        Ok(Self { answer, domains })
    }

    pub(super) fn answer(&self) -> Ipv4Addr {
        self.answer
    }

    pub(super) fn decide(&self, request: &[u8]) -> Decision {
        let Ok(message) = Message::from_vec(request) else {
            return match failure(request, ResponseCode::FormErr) {
                Some(reply) => Decision::Reply(reply),
                None => Decision::Ignore,
            };
        };
        if message.metadata.message_type != MessageType::Query {
            return Decision::Ignore;
        }
        match message.queries.as_slice() {
            [query] if message.metadata.op_code == OpCode::Query && self.is_ours(query) => {
                self.reply(&message.metadata, query)
            }
            _ => Decision::Forward,
        }
    }

    fn is_ours(&self, query: &Query) -> bool {
        query.query_class() == DNSClass::IN
            && self.domains.iter().any(|zone| zone.zone_of(query.name()))
    }

    /// An address for whoever asks for one; for any other type the name exists and has none.
    fn reply(&self, asked: &Metadata, query: &Query) -> Decision {
        let mut reply = Message::response(asked.id, asked.op_code);
        reply.metadata = Metadata::response_from_request(asked);
        reply.metadata.authoritative = true;
        reply.metadata.recursion_available = true;
        if matches!(query.query_type(), RecordType::A | RecordType::ANY) {
            let data = RData::A(A(self.answer));
            let record = Record::from_rdata(query.name().clone(), TTL_S, data);
            reply.add_answer(record);
        }
        reply.add_query(query.clone());
        reply.to_vec().map_or(Decision::Ignore, Decision::Reply)
    }
}

fn parse(domain: &str) -> Result<Name, InvalidDomain> {
    let invalid = || InvalidDomain(domain.chars().take(64).collect());
    let mut name = Name::from_ascii(domain).map_err(|_| invalid())?;
    // The root would swallow every name there is.
    if name.num_labels() == 0 {
        return Err(invalid());
    }
    name.set_fqdn(true);
    Ok(name)
}

/// A reply that says that something failed; none when the request has not even a header, or is a
/// reply itself.
pub(super) fn failure(request: &[u8], code: ResponseCode) -> Option<Vec<u8>> {
    let [high, low, flags, ..] = *request.first_chunk::<12>()?;
    if flags & 0x80 != 0 {
        return None;
    }
    let id = u16::from_be_bytes([high, low]);
    let mut reply = Message::error_msg(id, OpCode::Query, code);
    reply.metadata.recursion_desired = flags & 1 != 0;
    reply.metadata.recursion_available = true;
    if let Ok(asked) = Message::from_vec(request) {
        reply.queries = asked.queries;
    }
    reply.to_vec().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GATEWAY: Ipv4Addr = Ipv4Addr::new(100, 64, 112, 1);

    fn zones() -> Zones {
        Zones::new(
            GATEWAY,
            &["apps.localhost".to_owned(), "Shop.example.".to_owned()],
        )
        .expect("zones")
    }

    fn request(name: &str, kind: RecordType) -> Vec<u8> {
        let mut message = Message::new(77, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(Name::from_ascii(name).expect("a name"), kind));
        message.to_vec().expect("bytes")
    }

    fn reply(decision: Decision) -> Message {
        match decision {
            Decision::Reply(bytes) => Message::from_vec(&bytes).expect("a message"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_platform_s_names_lead_to_the_gateway_in_any_case() {
        for name in [
            "flash-sale.apps.localhost.",
            "a.b.APPS.LocalHost.",
            "apps.localhost.",
            "x.shop.example.",
            "inventory.apps.internal.",
        ] {
            let reply = reply(zones().decide(&request(name, RecordType::A)));
            assert_eq!(reply.metadata.id, 77);
            assert_eq!(reply.metadata.response_code, ResponseCode::NoError);
            assert!(reply.metadata.recursion_desired && reply.metadata.authoritative);
            let answers: Vec<_> = reply.answers.iter().map(|record| &record.data).collect();
            assert_eq!(answers, [&RData::A(A(GATEWAY))], "{name}");
        }
    }

    #[test]
    fn a_name_without_an_address_of_that_kind_exists_all_the_same() {
        let reply = reply(zones().decide(&request("x.apps.internal.", RecordType::AAAA)));
        assert_eq!(reply.metadata.response_code, ResponseCode::NoError);
        assert!(reply.answers.is_empty());
        assert_eq!(reply.queries.len(), 1);
    }

    #[test]
    fn everything_else_is_somebody_else_s() {
        for name in [
            "example.com.",
            "xapps.internal.",
            "internal.",
            "localhost.",
            ".",
        ] {
            let decision = zones().decide(&request(name, RecordType::A));
            assert_eq!(decision, Decision::Forward, "{name}");
        }
    }

    #[test]
    fn rubbish_is_refused_and_replies_are_not_replied_to() {
        assert_eq!(zones().decide(b"short"), Decision::Ignore);
        let mut torn = request("x.apps.internal.", RecordType::A);
        torn.truncate(20);
        let told = reply(zones().decide(&torn));
        assert_eq!(told.metadata.response_code, ResponseCode::FormErr);
        assert_eq!(told.metadata.id, 77);
        let mut response = request("x.apps.internal.", RecordType::A);
        response[2] |= 0x80;
        assert_eq!(zones().decide(&response), Decision::Ignore);
        response.truncate(20);
        assert_eq!(zones().decide(&response), Decision::Ignore);
        for domain in ["", ".", &"x".repeat(64), "a b..c"] {
            assert!(
                Zones::new(GATEWAY, &[domain.to_owned()]).is_err(),
                "{domain}"
            );
        }
    }
}
