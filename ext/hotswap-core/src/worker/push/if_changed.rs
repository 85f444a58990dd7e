//! `--if-changed`: a push of what is already live swaps nothing.

use std::sync::Arc;

use crate::content_id::ContentId;
use crate::error::{is_of_the_machine, Error, Failed, Result};
use crate::protocol::Figures;
use crate::worker::command::Command;
use crate::worker::disk::staged::Staged;
use crate::worker::live::Live;
use crate::worker::snapshot::{identity_of, Snapshot};

/// The identity of the staged file, if the live database has the same.
pub(super) fn identity_of_both(
    staged: &Staged,
    live: Option<&mut Live>,
    command: &Command,
) -> Result<Option<ContentId>> {
    let Some(live) = live else {
        return Ok(None);
    };
    command.at_low_priority(move || {
        let snapshot = match Snapshot::take(&command.path, command.client) {
            // A damaged database has other content than a file that passes the checks.
            Err(Error::Failed(Failed::Sqlite { source, .. })) if !is_of_the_machine(&source) => {
                return Ok(None)
            }
            taken => taken?,
        };
        let same = compare(&snapshot, staged, command);
        live.keep_open(Arc::new(snapshot.into_file()));
        same
    })
}

fn compare(snapshot: &Snapshot, staged: &Staged, command: &Command) -> Result<Option<ContentId>> {
    if snapshot.len() != staged.len() {
        return Ok(None);
    }
    let total = 2 * staged.len();
    let go_on = |done| {
        command.client.progress("comparing", done, total);
        command.client.check_presence()
    };
    let live = snapshot.identity(go_on)?;
    let pushed = identity_of(staged.file(), staged.path(), |done| go_on(staged.len() + done))?;
    Ok((live == pushed).then_some(pushed))
}

/// Tells the user and the log that nothing was swapped.
pub(super) fn report(bytes: u64, identity: ContentId, command: &Command) -> Figures {
    let (client, label) = (command.client, &command.database.label);
    client.status(format_args!(
        "{label} already has this content. Nothing was swapped."
    ));
    client.info(format_args!(
        "push complete: {label} already has this content, nothing was swapped, {}",
        client.end()
    ));
    Figures {
        command: "push".into(),
        database: label.clone(),
        bytes,
        identity: Some(identity),
        changed: Some(false),
        ..Figures::default()
    }
}
