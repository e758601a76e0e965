//! Checks the names of files, reads files within bounds, and writes them atomically.

use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;

use anyhow::{Context, Result};

use crate::refuse;

/// Whether `name` is a plain file name, without a folder.
pub(crate) fn is_bare(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\\', ':', '\0'])
}

/// The most bytes of a JSON file. The largest tokenizers have 40 MB.
pub(crate) const MAX_JSON_BYTES: u64 = 1 << 28;

/// The most bytes of texts that a command reads.
const MAX_TEXT_BYTES: u64 = 1 << 28;

/// Whether a folder has an entry of this name, be it a dangling link: [`read`] then names the
/// fault.
pub(crate) fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Reads a regular file of at most `limit` bytes, following links.
///
/// # Errors
/// When the file does not exist, is longer, or is a folder, a pipe or a device. The caller's
/// context names the file.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    // Opening a pipe would wait for a writer, so the type of the file is checked first.
    let about = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && is_there(path) => {
            return Err(refuse(
                "it is a link to nothing",
                "put the file there that the link leads to, or remove the link",
            ));
        }
        about => about?,
    };
    if !about.is_file() {
        return Err(refuse("it is not a regular file", "put a file there: folders, pipes and devices are not read"));
    }
    check_length(about.len(), limit)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(usize::try_from(about.len())?)?;
    // A file may grow while it is read.
    fs::File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    check_length(bytes.len() as u64, limit)?;
    Ok(bytes)
}

/// Reads texts from a file or a pipe, or from standard input if the path is `-`.
///
/// # Errors
/// When the file cannot be read, is not UTF-8, or has more than 256 MiB. The caller's context names
/// the file.
pub fn read_text(path: &Path) -> Result<String> {
    let source: &mut dyn Read = if path == Path::new("-") { &mut io::stdin() } else { &mut fs::File::open(path)? };
    let mut text = String::new();
    source.take(MAX_TEXT_BYTES + 1).read_to_string(&mut text)?;
    check_length(text.len() as u64, MAX_TEXT_BYTES)?;
    Ok(text)
}

fn check_length(bytes: u64, limit: u64) -> Result<()> {
    if bytes <= limit {
        return Ok(());
    }
    Err(refuse(format_args!("it has more than {limit} bytes"), "give a shorter file"))
}

/// Refuses a path that [`write_atomically`] could not write. Called before the work of minutes.
///
/// # Errors
/// When the path exists and may not be replaced, or its folder does not exist or cannot be written.
pub fn check_writable(path: &Path, force: bool) -> Result<()> {
    if path.is_dir() {
        return Err(refuse(format_args!("{} is a folder", path.display()), "give the name of a file to write"));
    }
    if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        return Err(refuse(
            format_args!("{} is not a regular file", path.display()),
            "give the name of a file to write: pipes and devices are not replaced",
        ));
    }
    if !force && is_there(path) {
        return Err(refuse(
            format_args!("{} exists already", path.display()),
            "choose another name, or add --force to replace it",
        ));
    }
    let folder = folder_of(path);
    if !folder.is_dir() {
        return Err(refuse(
            format_args!("{} cannot be written: {} is not a folder", path.display(), folder.display()),
            "make the folder first, or choose another place",
        ));
    }
    sweep(folder);
    temporary(folder).map(drop).map_err(|error| {
        refuse(
            format_args!("{} cannot be written: {error}", path.display()),
            "choose a folder that you may write to, with room in it",
        )
    })
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Prefix and suffix of the names of files that are being written.
const PARTIAL: (&str, &str) = (".kinglet-", ".partial");

/// A file to write to, locked while it is open, so that no other process removes it.
fn temporary(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PARTIAL.0).suffix(PARTIAL.1);
    // Temporary files are private, and this one becomes an ordinary file.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    loop {
        let file = builder.tempfile_in(folder)?;
        // Some network file systems have no locks; [`sweep`] removes nothing there.
        let locked = file.as_file().lock().is_ok();
        // Another process may have removed the file before it was locked.
        if !locked || is_there(file.path()) {
            return Ok(file);
        }
    }
}

/// Removes the partial files of killed processes from a folder: those without a lock.
fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let partial = name.to_str().is_some_and(|name| name.starts_with(PARTIAL.0) && name.ends_with(PARTIAL.1));
        // Opening a pipe of such a name would wait.
        if !partial || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        if let Ok(file) = fs::File::open(entry.path())
            && file.try_lock().is_ok()
        {
            // A file that cannot be removed does not keep the output from being written.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Writes a file completely or not at all: writes a temporary file in the same folder, and renames
/// it.
///
/// # Errors
/// When the file exists and `force` is not set, or cannot be written. An existing file is then
/// unchanged.
pub fn write_atomically(path: &Path, bytes: &[u8], force: bool) -> Result<()> {
    check_writable(path, force)?;
    let folder = folder_of(path);
    let failed = || format!("writing {}", path.display());
    let mut file = temporary(folder).with_context(failed)?;
    file.write_all(bytes).with_context(failed)?;
    file.as_file().sync_all().with_context(failed)?;
    if force { file.persist(path).map(drop) } else { file.persist_noclobber(path).map(drop) }
        .map_err(|error| error.error)
        .with_context(failed)?;
    // The new name is durable once the folder is.
    if let Ok(folder) = fs::File::open(folder) {
        let _ = folder.sync_all();
    }
    Ok(())
}
