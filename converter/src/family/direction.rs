//! Reads the direction in which a decoder reads.

use anyhow::Result;
use kinglet::format::spec::Direction;

use crate::checkpoint::Checkpoint;
use crate::refuse;

/// The file that names a checkpoint's direction, for which Hugging Face's files have no key:
/// `{"direction": "backward"}`.
pub(super) const FILE: &str = "kinglet.json";

/// The direction that the folder names or the caller asks for; forward if neither does.
///
/// # Errors
/// When folder and caller contradict each other, or the file has other contents.
pub(super) fn read(checkpoint: &Checkpoint, asked: Option<Direction>) -> Result<Direction> {
    let file = checkpoint.json(FILE)?;
    if let Some(key) = file.as_object().into_iter().flatten().map(|(key, _)| key).find(|key| *key != "direction") {
        return Err(refuse(format_args!("{FILE} says `{key}`, which is not known here"), "it may say `direction`"));
    }
    let said = match (&file, file["direction"].as_str()) {
        (serde_json::Value::Null, _) => None,
        (_, Some("forward")) => Some(Direction::Forward),
        (_, Some("backward")) => Some(Direction::Backward),
        _ => {
            return Err(refuse(
                format_args!("{FILE} is {file}"),
                "it must be {\"direction\": \"forward\"} or {\"direction\": \"backward\"}",
            ));
        }
    };
    match (said, asked) {
        (Some(said), Some(asked)) if said != asked => Err(refuse(
            format_args!(
                "the direction {} was asked for, but {FILE} of the checkpoint says {}",
                direction_name(asked),
                direction_name(said)
            ),
            format_args!("leave the option out, or correct {FILE} if the checkpoint was trained otherwise"),
        )),
        (said, asked) => Ok(said.or(asked).unwrap_or(Direction::Forward)),
    }
}

/// The name of a direction in options and files.
pub(crate) fn direction_name(direction: Direction) -> &'static str {
    match direction {
        Direction::Forward => "forward",
        Direction::Backward => "backward",
    }
}
