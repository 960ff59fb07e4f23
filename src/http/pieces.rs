//! Answers that are made or read in another thread while they go out: none is in memory as a whole.

use std::fs::File;
use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::Frame;
use tokio::sync::mpsc;

/// A piece of a body; an error cuts the answer off, so that half of it is not taken for the whole.
pub(super) type Piece = Result<Bytes, axum::Error>;

/// Pieces that wait to be sent.
const N_WAITING: usize = 2;
/// Bytes of a file read at once.
const FILE_PIECE_BYTES: usize = 64 << 10;

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

/// A body of what `write` sends, from a thread in which it may wait.
pub(super) fn body_of(write: impl FnOnce(&mpsc::Sender<Piece>) + Send + 'static) -> Body {
    let (send, receive) = mpsc::channel(N_WAITING);
    tokio::task::spawn_blocking(move || write(&send));
    Body::new(Pieces(receive))
}

/// The rest of a file. It stays readable while it is sent, also when it is removed meanwhile.
pub(super) fn body_of_file(mut file: File) -> Body {
    body_of(move |send| {
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
