//! A training step in its steady state asks for no memory: every buffer is one that an earlier step gave back.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use perface_conv::{Mode, Net, NetOptions, Sgd, nets};

/// Requests of at least this many bytes are counted, on every thread; a thread pool's queues ask for less.
const LARGE_BYTES: usize = 4096;

static LARGE_REQUESTS: AtomicUsize = AtomicUsize::new(0);

struct Counting;

fn count(bytes: usize) {
    if bytes >= LARGE_BYTES {
        LARGE_REQUESTS.fetch_add(1, Ordering::SeqCst);
    }
}

// SAFETY: every request is handed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count(bytes);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(old, layout, bytes) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(old, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn later_steps_ask_for_no_memory() {
    for name in ["r18", "mbf", "sface"] {
        let graph = nets::by_name(name).unwrap();
        let batch = 2;
        let pictures: Vec<f32> = (0..batch * graph.input_shape().len()).map(|i| (i % 97) as f32 / 97.0).collect();
        let gradient: Vec<f32> = (0..batch * graph.output_shape().len()).map(|i| (i % 89) as f32 * 1e-5).collect();
        let mut net = Net::new(graph, NetOptions { threads: 2, ..Default::default() }).unwrap();
        for mode in [Mode::Train, Mode::TrainFrozenBn, Mode::Eval] {
            let mut requests = vec![];
            for _ in 0..5 {
                let before = LARGE_REQUESTS.load(Ordering::SeqCst);
                net.forward(&pictures, batch, mode).unwrap();
                if mode != Mode::Eval {
                    net.backward(&gradient).unwrap();
                    net.sgd(Sgd::default());
                }
                requests.push(LARGE_REQUESTS.load(Ordering::SeqCst) - before);
            }
            assert!(mode != Mode::Train || requests[0] > 0, "{name}: nothing is counted");
            assert_eq!(requests[2..], [0, 0, 0], "{name} {mode:?}: {requests:?}");
        }
    }
}
