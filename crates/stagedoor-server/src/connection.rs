//! One connection: handshake, requests, and its end.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use crate::client_certificate::ClientCertificate;
use crate::config::ServerLimits;
use crate::connection_limit::{Permit, Priority};
use crate::request_id::RequestId;
use crate::state::ServerState;
use crate::tls::Tls;

/// Size of the head of a request, in bytes.
const HEAD_BYTES: usize = 32 << 10;
/// Requests at a time on one HTTP/2 connection.
const STREAMS: u32 = 256;

/// What connections of one listener have in common.
pub(crate) struct Endpoint {
    pub(crate) state: Arc<ServerState>,
    pub(crate) router: Router,
    /// Without it, connections are not encrypted.
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) limits: ServerLimits,
    /// Whether this is for probes alone.
    pub(crate) is_health: bool,
    /// Whether connections wait for the first load.
    pub(crate) awaits_load: bool,
}

impl Endpoint {
    /// Serves a connection to its end.
    ///
    /// `stopping` turns true when connections are to end after what is in flight.
    pub(crate) async fn serve(
        &self,
        stream: TcpStream,
        permit: Permit,
        stopping: watch::Receiver<bool>,
    ) {
        // Answers are small; without it they would wait for each other.
        let _ = stream.set_nodelay(true);
        let permit = Arc::new(permit);
        let Some(tls) = &self.tls else {
            let never = watch::Sender::new(0);
            return self
                .serve_http(stream, (false, None), permit, stopping, never.subscribe())
                .await;
        };
        let authorities = tls.authorities();
        // There are some from the beginning: without, nobody is let in.
        let Some(settings) = tls.current() else { return };
        let handshake = TlsAcceptor::from(settings).accept(stream);
        let accepted = tokio::select! {
            accepted = tokio::time::timeout(self.limits.handshake, handshake) => accepted,
            () = permit.evicted() => return self.state.metrics.connections_evicted.inc(),
        };
        match accepted {
            Ok(Ok(stream)) => {
                let session = stream.get_ref().1;
                let is_http2 = session.alpn_protocol() == Some(b"h2");
                let client = ClientCertificate::of(session.peer_certificates());
                self.serve_http(stream, (is_http2, client), permit, stopping, authorities).await;
            }
            Ok(Err(error)) => {
                self.state.metrics.handshakes_failed.inc();
                tracing::debug!(%error, "TLS handshake failed");
            }
            Err(_) => {
                self.state.metrics.handshakes_failed.inc();
                tracing::debug!("TLS handshake ran out of time");
            }
        }
    }

    async fn serve_http<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        stream: S,
        (is_http2, client): (bool, Option<ClientCertificate>),
        permit: Arc<Permit>,
        mut stopping: watch::Receiver<bool>,
        mut authorities: watch::Receiver<u64>,
    ) {
        let activity = Arc::new(Activity::new(Arc::clone(&permit)));
        let service = service_fn(|request: Request<Incoming>| {
            let router = self.router.clone();
            let working = activity.begin();
            let client = client.clone();
            async move {
                let is_work = request.method() == Method::POST;
                let mut request = request.map(Body::new);
                let id = RequestId::of(request.headers());
                request.extensions_mut().insert(id.clone());
                if let Some(client) = client {
                    request.extensions_mut().insert(client);
                }
                let Ok(mut response) = router.oneshot(request).await;
                id.stamp(response.headers_mut());
                working.end(is_work && response.status().is_success());
                Ok::<Response<Body>, Infallible>(response)
            }
        });
        let builder = self.builder(is_http2);
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let mut ending = *stopping.borrow_and_update();
        if ending {
            connection.as_mut().graceful_shutdown();
        }
        let idle = self.watch_idleness(is_http2, &activity);
        let end = tokio::time::sleep(self.limits.shutdown_grace);
        tokio::pin!(idle, end);
        loop {
            tokio::select! {
                result = connection.as_mut() => {
                    if let Err(error) = result {
                        tracing::debug!(%error, "connection ended");
                    }
                    return;
                }
                () = permit.evicted() => return self.state.metrics.connections_evicted.inc(),
                () = &mut end, if ending => return,
                // Before the first request HTTP/2 knows no orderly end.
                () = &mut idle, if !ending => if activity.begun() == 0 { return },
                Ok(()) = stopping.changed(), if !ending => {}
                Ok(()) = authorities.changed(), if !ending => {}
            }
            ending = true;
            end.as_mut().reset(Instant::now() + self.limits.shutdown_grace);
            connection.as_mut().graceful_shutdown();
        }
    }

    fn builder(&self, is_http2: bool) -> auto::Builder<TokioExecutor> {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.head)
            .max_buf_size(HEAD_BYTES);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_header_list_size(u32::try_from(HEAD_BYTES).unwrap_or(u32::MAX))
            .max_concurrent_streams(STREAMS)
            .keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(10));
        if is_http2 { builder.http2_only() } else { builder.http1_only() }
    }

    /// Resolves when a connection has had no request for too long.
    ///
    /// HTTP/1 needs it not: there the time for the next head runs from the last answer.
    async fn watch_idleness(&self, is_http2: bool, activity: &Activity) {
        if !is_http2 {
            return std::future::pending().await;
        }
        tokio::time::sleep(self.limits.head).await;
        let mut begun = activity.begun();
        while begun > 0 {
            tokio::time::sleep(self.limits.idle).await;
            let now = activity.begun();
            if now == begun && activity.is_idle() {
                return;
            }
            begun = now;
        }
    }
}

/// How many requests of a connection are in flight, and what it has shown so far.
struct Activity {
    permit: Arc<Permit>,
    in_flight: AtomicUsize,
    begun: AtomicUsize,
    proven: AtomicBool,
}

impl Activity {
    fn new(permit: Arc<Permit>) -> Self {
        Self {
            permit,
            in_flight: AtomicUsize::new(0),
            begun: AtomicUsize::new(0),
            proven: AtomicBool::new(false),
        }
    }

    fn begin(self: &Arc<Self>) -> Working {
        self.begun.fetch_add(1, Ordering::Relaxed);
        if self.in_flight.fetch_add(1, Ordering::AcqRel) == 0 {
            // If it is put out already, its end is on the way.
            self.permit.work();
        }
        Working(Arc::clone(self))
    }

    fn begun(&self) -> usize {
        self.begun.load(Ordering::Relaxed)
    }

    fn is_idle(&self) -> bool {
        self.in_flight.load(Ordering::Acquire) == 0
    }
}

/// A request in flight, also where the client goes away before the answer.
struct Working(Arc<Activity>);

impl Working {
    fn end(self, succeeded: bool) {
        if succeeded {
            self.0.proven.store(true, Ordering::Release);
        }
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        let activity = &self.0;
        if activity.in_flight.fetch_sub(1, Ordering::AcqRel) == 1 {
            let proven = activity.proven.load(Ordering::Acquire);
            activity.permit.wait(if proven { Priority::Proven } else { Priority::Unproven });
        }
    }
}
