use std::net::{IpAddr, Ipv4Addr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn target(port: u16) -> Target {
    Target {
        ip: LOOPBACK,
        ports: vec![port],
    }
}

/// Answers every request with `status` until dropped.
async fn http_server(status: &'static str) -> (u16, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind((LOOPBACK, 0)).await.expect("bound");
    let port = listener.local_addr().expect("bound").port();
    #[allow(clippy::disallowed_methods, reason = "a test's own server")]
    let server = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 1_024];
            drop(stream.read(&mut request).await);
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
            drop(stream.write_all(answer.as_bytes()).await);
        }
    });
    (port, server)
}

fn http_check() -> Check {
    Check::Http {
        endpoint: "/ok".to_owned(),
    }
}

#[tokio::test]
async fn a_closed_port_is_unhealthy_in_the_words_of_cloud_foundry() {
    let listener = TcpListener::bind((LOOPBACK, 0)).await.expect("bound");
    let port = listener.local_addr().expect("bound").port();
    let timeout = Duration::from_secs(1);
    assert_eq!(
        probe::probe(&Check::Port, &target(port), timeout).await,
        Ok(())
    );
    drop(listener);
    let error = probe::probe(&Check::Port, &target(port), timeout)
        .await
        .expect_err("closed");
    assert_eq!(
        error,
        format!("Failed to make TCP connection to 127.0.0.1:{port}: connection refused")
    );
}

#[tokio::test]
async fn only_200_is_healthy_over_http() {
    for (status, healthy) in [
        ("200 OK", true),
        ("204 No Content", false),
        ("503 No", false),
    ] {
        let (port, server) = http_server(status).await;
        let result = probe::probe(&http_check(), &target(port), Duration::from_secs(1)).await;
        assert_eq!(result.is_ok(), healthy, "{status}: {result:?}");
        server.abort();
    }
}

#[tokio::test]
async fn a_server_that_never_answers_is_unhealthy_after_the_invocation_timeout() {
    let listener = TcpListener::bind((LOOPBACK, 0)).await.expect("bound");
    let port = listener.local_addr().expect("bound").port();
    let error = probe::probe(&http_check(), &target(port), Duration::from_millis(50))
        .await
        .expect_err("silent");
    assert!(error.contains("timed out after 0.05 seconds"), "{error}");
}

#[tokio::test]
async fn an_instance_is_up_soon_after_its_port_opens_and_unhealthy_soon_after_it_closes() {
    let (port, server) = http_server("200 OK").await;
    let health = HealthCheck {
        check: http_check(),
        interval_s: 1,
        ..HealthCheck::default()
    };
    let readiness = ReadinessCheck {
        check: http_check(),
        interval_s: 1,
        ..ReadinessCheck::default()
    };
    let monitor = Monitor {
        health,
        readiness,
        target: target(port),
        crowd: Crowd::default(),
        clock: Clock::system(),
    };
    let (sender, mut findings) = mpsc::unbounded_channel();
    let watch = monitor.from_start(move |finding| sender.send(finding).map_err(|_| Unheard));
    let story = async {
        assert_eq!(
            findings.recv().await,
            Some(Finding::Healthy { ready: true })
        );
        server.abort();
        drop(server.await);
        let mut last = findings.recv().await;
        if last == Some(Finding::ReadinessChanged { ready: false }) {
            last = findings.recv().await;
        }
        assert!(matches!(last, Some(Finding::Unhealthy { .. })), "{last:?}");
    };
    tokio::join!(watch, story);
}

#[tokio::test]
async fn an_instance_that_is_not_ready_at_first_is_ready_soon_whatever_its_interval() {
    let listener = TcpListener::bind((LOOPBACK, 0)).await.expect("bound");
    let port = listener.local_addr().expect("bound").port();
    #[allow(clippy::disallowed_methods, reason = "a test's own server")]
    let server = tokio::spawn(async move {
        let statuses = ["503 Not yet"; 3]
            .into_iter()
            .chain(std::iter::repeat("200 OK"));
        for status in statuses {
            let Ok((mut stream, _)) = listener.accept().await else {
                return;
            };
            let mut request = [0; 1_024];
            if stream.read(&mut request).await.unwrap_or(0) > 0 {
                let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
                drop(stream.write_all(answer.as_bytes()).await);
            }
        }
    });
    let monitor = Monitor {
        health: HealthCheck {
            check: Check::Process,
            ..HealthCheck::default()
        },
        readiness: ReadinessCheck {
            check: http_check(),
            interval_s: 3_600,
            ..ReadinessCheck::default()
        },
        target: target(port),
        crowd: Crowd::default(),
        clock: Clock::system(),
    };
    let (sender, mut findings) = mpsc::unbounded_channel();
    let watch = monitor.from_start(move |finding| sender.send(finding).map_err(|_| Unheard));
    let story = async {
        let healthy = Finding::Healthy { ready: false };
        assert_eq!(findings.recv().await, Some(healthy));
        let ready = Finding::ReadinessChanged { ready: true };
        assert_eq!(findings.recv().await, Some(ready));
        server.abort();
    };
    let deadline = Duration::from_secs(20);
    tokio::select! {
        () = watch => panic!("the monitor has ended"),
        told = tokio::time::timeout(deadline, story) => told.expect("told in time"),
    }
}

#[test]
fn the_crowd_counts_those_that_are_there() {
    let crowd = Crowd::default();
    let first = crowd.join();
    let second = crowd.clone().join();
    assert_eq!(crowd.count(), 2);
    drop((first, second));
    assert_eq!(crowd.count(), 0);
}
