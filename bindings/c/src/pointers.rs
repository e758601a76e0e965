//! Pointers from C as slices and references: each is null or at its type's boundary, or else
//! refused.
//!
//! That as much memory lies behind a pointer as the caller says cannot be checked: it is part of
//! the contract of every function of this crate, and of each of these.

use core::slice::{from_raw_parts, from_raw_parts_mut};

use crate::status::{Failure, KINGLET_MISALIGNED_POINTER, KINGLET_NOT_UTF8, KINGLET_NULL_POINTER};

/// A pointer that is neither null nor misaligned.
fn checked<T>(pointer: *const T) -> Result<*const T, Failure> {
    if pointer.is_null() {
        return Err(Failure::Pointer(KINGLET_NULL_POINTER));
    }
    if !pointer.is_aligned() {
        return Err(Failure::Pointer(KINGLET_MISALIGNED_POINTER));
    }
    Ok(pointer)
}

/// `len` values to read; none where `len` is 0, whatever the pointer.
///
/// # Safety
/// The values are initialized, and nobody writes them as long as the slice lives.
pub(crate) unsafe fn slice<'a, T>(pointer: *const T, len: usize) -> Result<&'a [T], Failure> {
    if len == 0 {
        return Ok(&[]);
    }
    // SAFETY: not null and aligned; the rest is the caller's.
    Ok(unsafe { from_raw_parts(checked(pointer)?, len) })
}

/// `len` values to write; none where `len` is 0, whatever the pointer.
///
/// # Safety
/// The values are initialized, and nobody else uses them as long as the slice lives.
pub(crate) unsafe fn slice_mut<'a, T>(pointer: *mut T, len: usize) -> Result<&'a mut [T], Failure> {
    if len == 0 {
        return Ok(&mut []);
    }
    checked(pointer)?;
    // SAFETY: not null and aligned; the rest is the caller's.
    Ok(unsafe { from_raw_parts_mut(pointer, len) })
}

/// `len` values to write, or nothing where the pointer is null.
///
/// # Safety
/// As [`slice_mut`].
pub(crate) unsafe fn optional_mut<'a, T>(pointer: *mut T, len: usize) -> Result<Option<&'a mut [T]>, Failure> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller's.
    unsafe { slice_mut(pointer, len) }.map(Some)
}

/// One value to read.
///
/// # Safety
/// As [`slice`].
pub(crate) unsafe fn read<'a, T>(pointer: *const T) -> Result<&'a T, Failure> {
    // SAFETY: not null and aligned; the rest is the caller's.
    Ok(unsafe { &*checked(pointer)? })
}

/// One value to write.
///
/// # Safety
/// As [`slice_mut`].
pub(crate) unsafe fn write<'a, T>(pointer: *mut T) -> Result<&'a mut T, Failure> {
    checked(pointer)?;
    // SAFETY: not null and aligned; the rest is the caller's.
    Ok(unsafe { &mut *pointer })
}

/// A text's tokens and their types, which may be null.
///
/// # Safety
/// As [`slice`].
pub(crate) unsafe fn tokens<'a>(
    ids: *const u32,
    token_types: *const u8,
    count: usize,
) -> Result<(&'a [u32], &'a [u8]), Failure> {
    // SAFETY: the caller's.
    unsafe {
        let types = if token_types.is_null() { &[] } else { slice(token_types, count)? };
        Ok((slice(ids, count)?, types))
    }
}

/// A text of `bytes` bytes.
///
/// # Safety
/// As [`slice`].
pub(crate) unsafe fn text<'a>(pointer: *const core::ffi::c_char, bytes: usize) -> Result<&'a str, Failure> {
    // SAFETY: the caller's.
    let bytes = unsafe { slice(pointer.cast::<u8>(), bytes) }?;
    core::str::from_utf8(bytes).map_err(|_| Failure::Pointer(KINGLET_NOT_UTF8))
}
