//! Large pages for large arrays: a walk jumps about in them, and with pages of 4 KiB it waits about as
//! long for the page table as for the codes.

/// Asks the system to put large pages under the room that `rows` has reserved, before it is written to.
/// Where the system has none, nothing changes but the speed.
pub(super) fn ask_for<T>(rows: &Vec<T>) {
    #[cfg(target_os = "linux")]
    {
        const SIZE: usize = 1 << 21;
        let start = rows.as_ptr() as usize;
        let end = start + size_of::<T>() * rows.capacity();
        let (start, end) = (start.next_multiple_of(SIZE), end / SIZE * SIZE);
        if start < end {
            // SAFETY: advice about memory that the vector owns; its contents stay what they are.
            unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_HUGEPAGE) };
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = rows;
}
