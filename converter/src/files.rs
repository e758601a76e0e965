//! Files: their names, and writing them whole or not at all.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};

use crate::refuse;

/// Whether `name` is the name of a file, without a folder before it.
pub(crate) fn is_bare(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\\', ':', '\0'])
}

/// Refuses a place where [`write_atomically`] could not write: what takes minutes to make should
/// find that out first.
///
/// # Errors
/// When something is there that may not be replaced, or its folder is not there or takes no files.
pub fn check_writable(path: &Path, force: bool) -> Result<()> {
    if path.is_dir() {
        return Err(refuse(format_args!("{} is a folder", path.display()), "give the name of a file to write"));
    }
    if !force && path.symlink_metadata().is_ok() {
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

fn temporary(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".kinglet-").suffix(".partial");
    // Temporary files are private; this one becomes an ordinary one.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

/// Writes a file whole or not at all: beside its place first, then moved there.
///
/// # Errors
/// When it exists and `force` is not set, or cannot be written; what was there before is then
/// untouched.
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
    // The name is safe only when the folder is.
    if let Ok(folder) = fs::File::open(folder) {
        let _ = folder.sync_all();
    }
    Ok(())
}
