//! Converts pointers from C to slices and references, and refuses null and misaligned pointers.
//!
//! The length of the memory behind a pointer cannot be checked. It is part of the contract of the
//! functions in this module, and of every exported function.

use core::slice::{from_raw_parts, from_raw_parts_mut};

use crate::status::{Failure, KINGLET_MISALIGNED_POINTER, KINGLET_NOT_UTF8, KINGLET_NULL_POINTER};

/// Refuses null and misaligned pointers.
fn checked<T>(pointer: *const T) -> Result<*const T, Failure> {
    if pointer.is_null() {
        return Err(Failure::Pointer(KINGLET_NULL_POINTER));
    }
    if !pointer.is_aligned() {
        return Err(Failure::Pointer(KINGLET_MISALIGNED_POINTER));
    }
    Ok(pointer)
}

/// `len` values to read. If `len` is 0, the pointer may have any value.
///
/// # Safety
/// `pointer` points to `len` initialized values, which are not written during `'a`.
pub(crate) unsafe fn slice<'a, T>(pointer: *const T, len: usize) -> Result<&'a [T], Failure> {
    if len == 0 {
        return Ok(&[]);
    }
    // SAFETY: not null and aligned; the caller guarantees the rest.
    Ok(unsafe { from_raw_parts(checked(pointer)?, len) })
}

/// `len` values to write. If `len` is 0, the pointer may have any value.
///
/// # Safety
/// `pointer` points to `len` initialized values, which no other code uses during `'a`.
pub(crate) unsafe fn slice_mut<'a, T>(pointer: *mut T, len: usize) -> Result<&'a mut [T], Failure> {
    if len == 0 {
        return Ok(&mut []);
    }
    checked(pointer)?;
    // SAFETY: not null and aligned; the caller guarantees the rest.
    Ok(unsafe { from_raw_parts_mut(pointer, len) })
}

/// `len` values to write, or `None` for a null pointer.
///
/// # Safety
/// The contract of [`slice_mut`].
pub(crate) unsafe fn optional_mut<'a, T>(pointer: *mut T, len: usize) -> Result<Option<&'a mut [T]>, Failure> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: guaranteed by the caller.
    unsafe { slice_mut(pointer, len) }.map(Some)
}

/// One value to read.
///
/// # Safety
/// The contract of [`slice`].
pub(crate) unsafe fn read<'a, T>(pointer: *const T) -> Result<&'a T, Failure> {
    // SAFETY: not null and aligned; the caller guarantees the rest.
    Ok(unsafe { &*checked(pointer)? })
}

/// One value to write.
///
/// # Safety
/// The contract of [`slice_mut`].
pub(crate) unsafe fn write<'a, T>(pointer: *mut T) -> Result<&'a mut T, Failure> {
    checked(pointer)?;
    // SAFETY: not null and aligned; the caller guarantees the rest.
    Ok(unsafe { &mut *pointer })
}

/// The ids of a text and their token types; `token_types` may be null.
///
/// # Safety
/// The contract of [`slice`].
pub(crate) unsafe fn tokens<'a>(
    ids: *const u32,
    token_types: *const u8,
    count: usize,
) -> Result<(&'a [u32], &'a [u8]), Failure> {
    // SAFETY: guaranteed by the caller.
    unsafe {
        let types = if token_types.is_null() { &[] } else { slice(token_types, count)? };
        Ok((slice(ids, count)?, types))
    }
}

/// A text of `bytes` bytes.
///
/// # Safety
/// The contract of [`slice`].
pub(crate) unsafe fn text<'a>(pointer: *const core::ffi::c_char, bytes: usize) -> Result<&'a str, Failure> {
    // SAFETY: guaranteed by the caller.
    let bytes = unsafe { slice(pointer.cast::<u8>(), bytes) }?;
    core::str::from_utf8(bytes).map_err(|_| Failure::Pointer(KINGLET_NOT_UTF8))
}
