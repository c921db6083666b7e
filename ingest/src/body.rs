//! Reading a request body up to a limit. A body of one frame, which most are, is not copied.

use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use tokio::sync::Semaphore;
use tributary_domain::requests::{ApiError, Code};

const DISCARDED: usize = 4 * 1024 * 1024;

/// What bodies may take together that are still on their way, KiB. Most come with their head and are not counted.
pub(crate) const SLOW_KIB: usize = 256 * 1024;

/// The body, or why there is none. What is still to come takes its size of `room`.
pub(crate) async fn read(
    body: &mut Incoming,
    limit: usize,
    wait: Duration,
    room: &Semaphore,
) -> Result<Bytes, ApiError> {
    let most = body
        .size_hint()
        .upper()
        .map_or(limit, |size| size.min(limit as u64) as usize);
    let too_large = body.size_hint().lower() > limit as u64;
    if too_large {
        refuse(body, wait).await;
        return Err(ApiError::too_large(limit));
    }
    // Most bodies came with their head: those need no timer.
    let reading = &mut pin!(collect(body, limit));
    match futures::poll!(&mut *reading) {
        Poll::Ready(result) => result,
        Poll::Pending => {
            let kib = u32::try_from(most / 1024 + 1).unwrap_or(u32::MAX);
            let _taken = room
                .try_acquire_many(kib)
                .map_err(|_| ApiError::unavailable("too many bodies are on their way"))?;
            tokio::time::timeout(wait, reading)
                .await
                .unwrap_or_else(|_| Err(ApiError::new(Code::BadRequest, "the body did not come in time")))
        }
    }
}

// Trailers say nothing to us.
async fn next(body: &mut Incoming) -> Option<Result<Bytes, hyper::Error>> {
    loop {
        // Known without asking: a body of one frame is asked once.
        if body.is_end_stream() {
            return None;
        }
        match std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await? {
            Ok(frame) => {
                if let Ok(data) = frame.into_data() {
                    return Some(Ok(data));
                }
            }
            Err(error) => return Some(Err(error)),
        }
    }
}

async fn collect(body: &mut Incoming, limit: usize) -> Result<Bytes, ApiError> {
    let mut whole = Bytes::new();
    let mut parts: Vec<u8> = Vec::new();
    while let Some(frame) = next(body).await {
        let frame = frame
            .map_err(|_| ApiError::new(Code::BadRequest, "the body ended before its announced length"))?;
        if whole.len() + parts.len() + frame.len() > limit {
            discard(body).await;
            return Err(ApiError::too_large(limit));
        }
        if parts.is_empty() && whole.is_empty() {
            whole = frame;
        } else {
            parts.extend_from_slice(&std::mem::take(&mut whole));
            parts.extend_from_slice(&frame);
        }
    }
    Ok(if parts.is_empty() { whole } else { parts.into() })
}

// A client that still writes when the connection closes sees a reset, not the 413: what it sends is read
// and thrown away, up to a bound.
async fn discard(body: &mut Incoming) {
    let mut left = DISCARDED;
    while let Some(Ok(frame)) = next(body).await {
        match left.checked_sub(frame.len()) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

async fn refuse(body: &mut Incoming, wait: Duration) {
    if tokio::time::timeout(wait, discard(body)).await.is_err() {
        tracing::debug!("a body over the limit did not end in time");
    }
}
