//! What a router tells of its instances, second by second.

use cfx_protocol::id::InstanceGuid;
use cfx_protocol::metrics::{InstanceTraffic, RouterMetrics};
use http::StatusCode;
use uuid::Uuid;

use crate::support::{Instance, Router, Setup, endpoint, eventually, get, nobody, route};

const HOST: &str = "app.example.com";

fn instance(index: u32) -> InstanceGuid {
    InstanceGuid(Uuid::from_u128(0x100 + u128::from(index)))
}

/// All that was told of an instance.
fn sum(seconds: &[RouterMetrics], index: u32) -> InstanceTraffic {
    let mut sum = InstanceTraffic::default();
    let all = seconds.iter().flat_map(|second| &second.instances);
    all.filter(|it| it.instance == instance(index))
        .for_each(|it| sum.merge(it));
    sum
}

#[tokio::test]
async fn the_threads_of_a_router_add_up_and_an_idle_instance_is_not_told() {
    let (busy, idle) = (Instance::saying("a").await, Instance::saying("b").await);
    let setup = Setup {
        threads: 3,
        ..Setup::default()
    };
    let routes = vec![
        route(HOST, vec![endpoint(busy.address, 0)]),
        route("idle.example.com", vec![endpoint(idle.address, 1)]),
    ];
    let router = Router::serving(setup, routes).await;
    let mut seen = router.seconds();
    for _ in 0..40 {
        let answer = get(router.http(), HOST, "/").await;
        assert_eq!(answer.status, StatusCode::OK);
    }
    let seconds = eventually(&mut seen, |seconds| sum(seconds, 0).requests == 40).await;
    let told = sum(&seconds, 0);
    assert_eq!((told.errors, told.latencies.count()), (0, 40));
    let slowest = told.latencies.percentile_us(99).expect("some");
    assert!(slowest < 10_000_000, "{slowest} us");
    assert_eq!(sum(&seconds, 1), InstanceTraffic::default());
    let more = seconds.len() + 2;
    let seconds = eventually(&mut seen, |seconds| seconds.len() >= more).await;
    let newest = seconds.last().expect("some");
    assert_eq!(newest.instances, Vec::new(), "nothing goes on");
    let numbered = seconds.iter().map(|second| second.sequence);
    assert!(numbered.eq(1..=seconds.len() as u64));
    assert!(seconds.windows(2).all(|pair| pair[0].at < pair[1].at));
    router.stop().await;
}

#[tokio::test]
async fn an_instance_that_cannot_be_reached_has_errors() {
    let routes = vec![route(HOST, vec![endpoint(nobody(), 0)])];
    let router = Router::serving(Setup::default(), routes).await;
    let mut seen = router.seconds();
    let answer = get(router.http(), HOST, "/").await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    let seconds = eventually(&mut seen, |seconds| sum(seconds, 0).requests == 1).await;
    assert_eq!(sum(&seconds, 0).errors, 1);
    router.stop().await;
}

#[tokio::test]
async fn what_is_in_flight_is_told_each_second_and_the_last_second_at_the_end() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .expect("binds");
    let address = listener.local_addr().expect("bound");
    let routes = vec![route(HOST, vec![endpoint(address, 0)])];
    let router = Router::serving(Setup::default(), routes).await;
    let mut seen = router.seconds();
    let in_flight = |second: &RouterMetrics| {
        let mut of = second.instances.iter();
        of.any(|it| it.instance == instance(0) && it.in_flight == 1 && it.requests == 0)
    };
    let both = |seconds: &Vec<RouterMetrics>| seconds.iter().filter(|it| in_flight(it)).count() > 1;
    let instance_side = async {
        let (stream, _) = listener.accept().await.expect("dialled");
        eventually(&mut seen, both).await;
        drop(stream);
    };
    let (answer, ()) = tokio::join!(get(router.http(), HOST, "/"), instance_side);
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    router.stop().await;
    let seconds = seen.borrow().clone();
    let told = sum(&seconds, 0);
    assert_eq!((told.requests, told.errors), (1, 1));
}
