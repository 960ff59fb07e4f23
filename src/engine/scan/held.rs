//! How many bytes of photos may lie in memory before they are looked at.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// Bytes that are held, and room for more.
#[derive(Debug)]
pub(super) struct HeldBytes {
    limit: usize,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    n_bytes: Mutex<usize>,
    is_less: Condvar,
}

/// Leave to hold some bytes; given back when dropped.
#[derive(Debug)]
pub(super) struct Permit {
    n_bytes: usize,
    shared: Arc<Shared>,
}

impl HeldBytes {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            shared: Arc::default(),
        }
    }

    /// Waits until there is room; a photo larger than all room is let in alone.
    pub(super) fn wait_for(&self, n_bytes: usize) -> Permit {
        let mut held = self.shared.lock();
        while *held > 0 && *held + n_bytes > self.limit {
            let waited = self.shared.is_less.wait(held);
            held = waited.unwrap_or_else(PoisonError::into_inner);
        }
        *held += n_bytes;
        Permit {
            n_bytes,
            shared: Arc::clone(&self.shared),
        }
    }
}

impl Permit {
    /// Gives back what turned out not to be needed.
    pub(super) fn shrink(&mut self, n_bytes: usize) {
        let less = self.n_bytes.saturating_sub(n_bytes);
        self.n_bytes -= less;
        *self.shared.lock() -= less;
        self.shared.is_less.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, usize> {
        self.n_bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        *self.shared.lock() -= self.n_bytes;
        self.shared.is_less.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    #[test]
    fn whoever_asks_for_too_much_waits() {
        let held = Arc::new(HeldBytes::new(10));
        let (first, nothing) = (held.wait_for(8), held.wait_for(0));
        let (sender, receiver) = channel();
        let waiting = std::thread::spawn({
            let held = Arc::clone(&held);
            move || sender.send(held.wait_for(50)).expect("awaited")
        });
        assert!(receiver.recv_timeout(Duration::from_millis(50)).is_err());
        drop((first, nothing));
        let mut large = receiver.recv().expect("let in alone");
        waiting.join().expect("no panic");
        large.shrink(60);
        assert_eq!(*held.shared.lock(), 50);
        large.shrink(3);
        assert_eq!(*held.shared.lock(), 3);
        drop(large);
        assert_eq!(*held.shared.lock(), 0);
    }
}
