//! Answers that are made or read in another thread while they go out: none is in memory as a whole.

use std::fs::File;
use std::io::{self, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::Frame;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::problem::{Problem, ProblemKind};

/// A piece of a body; an error cuts the answer off, so that half of it is not taken for the whole.
pub(super) type Piece = Result<Bytes, axum::Error>;

/// Pieces that wait to be sent.
const N_WAITING: usize = 2;
/// Bytes of a file read at once.
const FILE_PIECE_BYTES: usize = 64 << 10;

/// Such answers at once. Each holds a thread until its client has read it or has gone; of the 512 threads
/// for work that waits, enough must be left for all other requests.
const N_DOWNLOADS: usize = 32;

/// Room for answers in pieces.
pub(super) struct Downloads(Arc<Semaphore>);

impl Default for Downloads {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(N_DOWNLOADS)))
    }
}

impl Downloads {
    /// A place for one; an error when all are taken.
    pub fn begin(&self) -> Result<DownloadPlace, Problem> {
        let place = Arc::clone(&self.0).try_acquire_owned();
        place
            .map(DownloadPlace)
            .map_err(|_| Problem::internal(ProblemKind::Busy))
    }
}

/// Room for one answer in pieces.
#[derive(Debug)]
pub(super) struct DownloadPlace(OwnedSemaphorePermit);

/// A body in pieces that come from another thread.
struct Pieces(mpsc::Receiver<Piece>);

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let piece = self.0.poll_recv(context);
        piece.map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

/// A body of what `write` sends, from a thread in which it may wait; it keeps `place` until it ends.
pub(super) fn body_of(
    place: DownloadPlace,
    write: impl FnOnce(&mpsc::Sender<Piece>) + Send + 'static,
) -> Body {
    let (send, receive) = mpsc::channel(N_WAITING);
    tokio::task::spawn_blocking(move || {
        write(&send);
        drop(place.0);
    });
    Body::new(Pieces(receive))
}

/// The rest of a file. It stays readable while it is sent, also when it is removed meanwhile.
pub(super) fn body_of_file(place: DownloadPlace, mut file: File) -> Body {
    body_of(place, move |send| {
        loop {
            let mut piece = Vec::with_capacity(FILE_PIECE_BYTES);
            let read = io::Read::by_ref(&mut file)
                .take(FILE_PIECE_BYTES as u64)
                .read_to_end(&mut piece);
            let piece = match read {
                Ok(0) => return,
                Ok(_) => Ok(piece.into()),
                Err(error) => {
                    tracing::error!(%error, "a file that was being sent was cut off");
                    Err(axum::Error::new(error))
                }
            };
            let is_last = piece.is_err();
            // Nobody may be reading any more.
            if send.blocking_send(piece).is_err() || is_last {
                return;
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn an_answer_in_pieces_keeps_its_place_until_its_client_has_gone() {
        let downloads = Downloads::default();
        let endless = |_| {
            let place = downloads.begin().expect("room");
            body_of(place, |send| {
                while send.blocking_send(Ok(Bytes::from_static(b"x"))).is_ok() {}
            })
        };
        let unread: Vec<Body> = (0..N_DOWNLOADS).map(endless).collect();
        let refused = downloads.begin().expect_err("all places are taken");
        assert_eq!(refused.kind, ProblemKind::Busy);
        drop(unread);
        let room = async {
            while downloads.begin().is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let patience = Duration::from_secs(60);
        tokio::time::timeout(patience, room)
            .await
            .expect("room again");
    }
}
