//! A small HTTP server with one page.

use std::{convert::Infallible, sync::Arc, time::Duration};

use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ALLOW, CONTENT_TYPE, HeaderName},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};

use super::text;
use crate::notes::note;

/// The number of connections at a time; others wait in the system's queue.
const MAX_CONNECTIONS: usize = 64;

/// The time for the request: those who connect and say nothing do not take the place of others for long.
const MAX_REQUEST_TIME: Duration = Duration::from_secs(1);

/// The time for a request and its answer; then the connection is closed, so that nobody holds one for longer.
const MAX_TIME: Duration = Duration::from_secs(10);

/// The length of a request, without a body, in bytes.
const MAX_REQUEST: usize = 16 * 1024;

/// How long to wait after a connection could not be accepted, because the system lacks something.
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// Answers requests for `/metrics` with the page, one for each connection.
pub(super) async fn serve(
    listener: TcpListener,
    page: impl Fn() -> String + Send + Sync + 'static,
) {
    let page = Arc::new(page);
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    while let Ok(place) = Arc::clone(&room).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let page = Arc::clone(&page);
                tokio::spawn(async move {
                    // What ends a connection early is its client's affair.
                    let _ = timeout(MAX_TIME, answer(stream, &*page)).await;
                    drop(place);
                });
            }
            Err(error) => {
                note(format_args!(
                    "cannot accept a connection for the metrics: {error}"
                ));
                sleep(AFTER_ERROR).await;
            }
        }
    }
}

async fn answer(stream: TcpStream, page: &impl Fn() -> String) -> hyper::Result<()> {
    let service = service_fn(|request: Request<Incoming>| {
        let response = respond(&request, page);
        async { Ok::<_, Infallible>(response) }
    });
    http1::Builder::new()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(MAX_REQUEST_TIME)
        .max_buf_size(MAX_REQUEST)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

fn respond(request: &Request<Incoming>, page: impl Fn() -> String) -> Response<String> {
    match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => {
            with_header(StatusCode::OK, CONTENT_TYPE, text::CONTENT_TYPE, page())
        }
        (_, "/metrics") => with_header(
            StatusCode::METHOD_NOT_ALLOWED,
            ALLOW,
            "GET, HEAD",
            String::new(),
        ),
        _ => with_header(
            StatusCode::NOT_FOUND,
            CONTENT_TYPE,
            "text/plain",
            "the metrics are at /metrics\n".to_owned(),
        ),
    }
}

fn with_header(
    status: StatusCode,
    name: HeaderName,
    value: &'static str,
    body: String,
) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let value = hyper::header::HeaderValue::from_static(value);
    response.headers_mut().insert(name, value);
    response
}
