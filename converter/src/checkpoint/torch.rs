//! Reads the state dictionaries that `torch.save` writes: `pytorch_model.bin`.
//!
//! Since PyTorch 1.6 such a file is a zip archive without compression: `data.pkl` is the
//! dictionary, whose tensors are views of storages, and `data/KEY` is a storage. An older file is
//! five pickles (a magic number, a version, the machine that wrote it, the dictionary, the keys of
//! the storages) and then the storages in the order of their keys, each preceded by its length.

use std::collections::HashMap;

use rawzip::{CompressionMethod, ZipArchive};
use safetensors::Dtype;

use super::entry::Entry;
use pickle::{Object, Pickle, Refusal, Result, Storage, Tensor, Value, broken, foreign};

use crate::refuse;

mod pickle;

/// The first pickle of an older file.
const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;
/// The second pickle of an older file.
const VERSION: i128 = 1001;
/// The most tensors in a file.
const MAX_TENSORS: usize = 1 << 17;

/// Lists the tensors of a file by name, as views of its bytes. Entries refer to it by the index
/// `file`, errors by `name`.
///
/// # Errors
/// When the file is truncated, contradicts itself, or holds anything but tensors by name.
pub(super) fn read(bytes: &[u8], file: usize, name: &str) -> anyhow::Result<Vec<(String, Entry)>> {
    let read = if bytes.starts_with(b"PK") { read_zip(bytes, file) } else { read_pickles(bytes, file) };
    read.map_err(|refusal| match refusal {
        Refusal::Broken(what) => refuse(
            format_args!("{name} is not a whole PyTorch file: it {what}"),
            "download it again; a file of a few lines beginning with `version https://git-lfs` is only a pointer",
        ),
        Refusal::Foreign(what) => refuse(
            format_args!("{name} is not a plain state dictionary: it {what}"),
            "nothing in such a file is executed: save the model again with `save_pretrained`, which writes safetensors",
        ),
    })
}

fn read_zip(bytes: &[u8], file: usize) -> Result<Vec<(String, Entry)>> {
    let archive =
        ZipArchive::from_slice(bytes).or_else(|error| broken(format_args!("has no zip directory: {error}")))?;
    let mut members = HashMap::new();
    let mut entries = archive.entries();
    while let Some(record) =
        entries.next_entry().or_else(|error| broken(format_args!("has a broken zip directory: {error}")))?
    {
        let path = record.file_path();
        let Ok(path) = core::str::from_utf8(path.as_bytes()) else {
            return broken("has a member whose name is not UTF-8");
        };
        // All members are in one folder, which may have any name.
        let Some((_, member)) = path.split_once('/') else { continue };
        members.insert(member, record.wayfinder());
        if record.compression_method() != CompressionMethod::STORE {
            return foreign(format_args!("has the compressed member `{member}`"));
        }
    }
    let member = |name: &str| {
        let Some(wayfinder) = members.get(name) else { return Ok(None) };
        let entry =
            archive.get_entry(*wayfinder).or_else(|error| broken(format_args!("has no whole `{name}`: {error}")))?;
        // PyTorch can be told to leave checksums out, and then writes 0.
        let checksum = entry.claim_verifier().crc;
        if checksum != 0 && rawzip::crc32(entry.data()) != checksum {
            return broken(format_args!("has another checksum for `{name}` than its zip directory"));
        }
        Ok(Some((entry.compressed_data_range().0 as usize, entry.data())))
    };
    if members.contains_key("constants.pkl") {
        return foreign("is a TorchScript program");
    }
    if member("byteorder")?.is_some_and(|(_, order)| order != b"little") {
        return foreign("was written on a big-endian machine");
    }
    let Some((_, data)) = member("data.pkl")? else { return foreign("has no member `data.pkl`") };
    let pickle = Pickle::read(data)?;
    let mut storages = HashMap::new();
    for storage in pickle.objects.iter().filter_map(as_storage) {
        let bytes = byte_len(storage)?;
        if !storages.contains_key(storage.key) {
            let Some((start, data)) = member(&format!("data/{}", storage.key))? else {
                return broken(format_args!("has no storage `{}`", storage.key));
            };
            storages.insert(storage.key, (start, data.len()));
        }
        let (_, len) = storages[storage.key];
        if bytes > len {
            return broken(format_args!("has {len} bytes of storage `{}`, which takes {bytes}", storage.key));
        }
    }
    tensors(&pickle, file, |storage| storages.get(storage.key).map(|(start, _)| *start))
}

fn read_pickles(bytes: &[u8], file: usize) -> Result<Vec<(String, Entry)>> {
    let mut at = 0;
    let mut next = || {
        let pickle = Pickle::read(&bytes[at..])?;
        at += pickle.len;
        Ok(pickle)
    };
    if !bytes.starts_with(&[0x80]) || next()?.value != Value::Int(MAGIC) {
        return broken("begins neither as a zip archive nor with the magic number of older files");
    }
    match next()?.value {
        Value::Int(VERSION) => {}
        other => return foreign(format_args!("is of version {other:?}")),
    }
    let machine = next()?;
    let order = machine.dict(machine.value).into_iter().flatten().find(|(key, _)| *key == Value::Text("little_endian"));
    if order.is_none_or(|(_, little)| *little != Value::Bool(true)) {
        return foreign("was not written on a little-endian machine");
    }
    let pickle = next()?;
    let keys = next()?;
    let Some(Object::List(keys)) = keys.object(keys.value) else { return broken("has no list of its storages") };
    let sizes: HashMap<&str, &Storage<'_>> =
        pickle.objects.iter().filter_map(as_storage).map(|storage| (storage.key, storage)).collect();
    let mut starts = HashMap::new();
    for key in keys {
        let Value::Text(key) = key else { return broken("has a storage whose key is not a text") };
        let Some(storage) = sizes.get(key) else {
            return broken(format_args!("has a storage `{key}` that no tensor uses"));
        };
        let Some(len) = bytes[at..].first_chunk::<8>() else {
            return broken(format_args!("ends before storage `{key}`"));
        };
        if u64::from_le_bytes(*len) != storage.len as u64 {
            return broken(format_args!("has two lengths for storage `{key}`"));
        }
        let start = at + 8;
        let len = byte_len(storage)?;
        if bytes.len() - start < len {
            return broken(format_args!("ends within storage `{key}`"));
        }
        starts.insert(*key, start);
        at = start + len;
    }
    let twice = pickle.objects.iter().filter_map(as_storage).find(|storage| sizes[storage.key] != *storage);
    if let Some(storage) = twice {
        return broken(format_args!("describes storage `{}` twice", storage.key));
    }
    tensors(&pickle, file, |storage| starts.get(storage.key).copied())
}

fn as_storage<'a, 'b>(object: &'b Object<'a>) -> Option<&'b Storage<'a>> {
    match object {
        Object::Storage(storage) => Some(storage),
        _ => None,
    }
}

fn byte_len(storage: &Storage<'_>) -> Result<usize> {
    let len = storage.len.checked_mul(width(storage.dtype));
    len.map_or_else(|| broken(format_args!("has {} elements in storage `{}`", storage.len, storage.key)), Ok)
}

/// Bytes per element.
fn width(dtype: Dtype) -> usize {
    dtype.bitsize() / 8
}

/// Checks every view of the dictionary against its storage. `start` gives the first byte of a
/// storage.
fn tensors(
    pickle: &Pickle<'_>,
    file: usize,
    start: impl Fn(&Storage<'_>) -> Option<usize>,
) -> Result<Vec<(String, Entry)>> {
    let Some(pairs) = pickle.dict(pickle.value) else { return foreign("holds no dictionary") };
    if pairs.len() > MAX_TENSORS {
        return foreign(format_args!("has {} tensors, more than {MAX_TENSORS}", pairs.len()));
    }
    let mut found = Vec::with_capacity(pairs.len());
    for (key, value) in pairs {
        let Value::Text(name) = key else { return foreign("has a key that is not a text") };
        let Some(Object::Tensor(tensor)) = pickle.object(*value) else {
            return foreign(format_args!("has `{name}`, which is not a tensor"));
        };
        let Some(storage) = pickle.objects.get(tensor.storage).and_then(as_storage) else {
            return broken(format_args!("has no storage for tensor `{name}`"));
        };
        let Some(start) = start(storage) else { return broken(format_args!("has no storage `{}`", storage.key)) };
        if !fits(tensor, storage.len) {
            return broken(format_args!(
                "has tensor `{name}` of shape {:?} and strides {:?} at {} in a storage of {} elements",
                tensor.shape, tensor.strides, tensor.offset, storage.len
            ));
        }
        let dtype = storage.dtype;
        let strides = (!is_contiguous(tensor)).then(|| tensor.strides.clone());
        let start = start + tensor.offset * width(dtype);
        found.push(((*name).to_owned(), Entry { file, dtype, shape: tensor.shape.clone(), start, strides }));
    }
    Ok(found)
}

/// Whether a view stays within its storage of `len` elements and has no more elements than it.
fn fits(tensor: &Tensor, len: usize) -> bool {
    if tensor.shape.len() != tensor.strides.len() {
        return false;
    }
    // Empty dimensions count as 1, so that no partial product overflows, in any order.
    let Some(count) = tensor.shape.iter().try_fold(1usize, |count, size| count.checked_mul(*size.max(&1))) else {
        return false;
    };
    if tensor.shape.contains(&0) {
        return tensor.offset <= len;
    }
    let last = tensor.shape.iter().zip(&tensor.strides).try_fold(tensor.offset, |last, (size, stride)| {
        (size - 1).checked_mul(*stride).and_then(|step| last.checked_add(step))
    });
    count <= len && last.is_some_and(|last| last < len)
}

/// Whether a view is in row-major order without gaps.
fn is_contiguous(tensor: &Tensor) -> bool {
    let mut expected = 1;
    tensor.shape.iter().zip(&tensor.strides).rev().all(|(size, stride)| {
        let follows = *size == 1 || *stride == expected;
        expected *= size;
        follows
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_has_no_element_outside_of_its_storage_and_no_more_than_it_has() {
        let view = |offset, shape: &[usize], strides: &[usize]| {
            let tensor = Tensor { storage: 0, offset, shape: shape.to_vec(), strides: strides.to_vec() };
            fits(&tensor, 12)
        };
        const HUGE: usize = usize::MAX / 2;
        for (offset, shape, strides) in [
            (0, &[3, 4][..], &[4, 1][..]),
            (0, &[4, 3], &[1, 4]),
            (11, &[], &[]),
            (12, &[0, 3], &[3, 1]),
            (0, &[1], &[HUGE]),
        ] {
            assert!(view(offset, shape, strides), "{offset} {shape:?} {strides:?}");
        }
        for (offset, shape, strides) in [
            (1, &[3, 4][..], &[4, 1][..]),
            (12, &[], &[]),
            (13, &[0], &[1]),
            (0, &[2], &[12]),
            (0, &[2], &[HUGE]),
            (HUGE, &[3], &[HUGE]),
            (0, &[13], &[0]),
            (0, &[HUGE, HUGE, 0], &[0, 0, 0]),
            (0, &[0, HUGE, HUGE], &[0, 0, 0]),
            (0, &[3], &[1, 1]),
        ] {
            assert!(!view(offset, shape, strides), "{offset} {shape:?} {strides:?}");
        }
    }
}
