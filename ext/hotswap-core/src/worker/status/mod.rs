//! Answers questions that change nothing: what is the state of the databases, and what does the record say.
//!
//! An answer must not disturb the application or a push. So it does not wake the members: it reads `/proc`, the fence
//! files and the records. It looks into a database only with the locks of a pull, for a few milliseconds, and not at
//! all while a worker wants the members to close. If many databases match a pattern and the question names none of
//! them, it does not look into these at all.

mod database;
mod glance;
mod role;

use std::collections::HashMap;

use crate::error::{Protocol, Result};
use crate::protocol::{About, BodyWriter, Message, Query, CHUNK};
use crate::record;
use crate::settings::{Database, Settings};
use crate::status::{Status, SUMMED_UP_BEYOND};

pub(super) use database::Processes;

use super::client::Client;
use database::Survey;
use glance::Observer;

/// Answers the client's questions, one after the other, until it leaves. `server` is the pid of the process that serves
/// the socket.
pub(super) fn answer(
    client: &Client,
    settings: &Settings,
    mut query: Query,
    server: Option<u32>,
) -> Result<()> {
    let mut observer = Observer::default();
    loop {
        let named: Vec<_> = query.database.iter().collect();
        let settings = settings.clone().with_registrations().expand(&named);
        let answer = match query.about {
            About::Status => status(&settings, &query, server, &mut observer)?,
            About::Log => log(&settings, &query)?,
        };
        let mut body = BodyWriter::new(&client.main);
        answer.chunks(CHUNK).try_for_each(|chunk| body.send(chunk))?;
        body.finish()?;
        query = match client.main.receive() {
            Ok(Some(Message::Query(next))) => *next,
            Ok(None) => return Ok(()),
            Err(error) if error.is_gone() => return Ok(()),
            Err(error) => return Err(error),
            Ok(Some(_)) => return Err(Protocol::Unexpected { from: "the client" }.into()),
        };
    }
}

/// The databases that the question is about.
fn asked<'a>(settings: &'a Settings, query: &Query) -> Result<Vec<&'a Database>> {
    match &query.database {
        None => Ok(settings.databases.iter().collect()),
        Some(endpoint) => settings.named_or_matched(endpoint),
    }
}

/// Whether the question names one database, which then has to exist. Those that were found may be gone by now.
fn names_one(query: &Query, databases: &[&Database]) -> bool {
    query.database.is_some() && databases.len() == 1
}

fn status(
    settings: &Settings,
    query: &Query,
    server: Option<u32>,
    observer: &mut Observer,
) -> Result<Vec<u8>> {
    let databases = asked(settings, query)?;
    let paths: Vec<_> = databases.iter().map(|database| database.resolved()).collect();
    let mut survey = Survey::of(&paths, observer);
    let mut matched = HashMap::<_, usize>::new();
    for pattern in databases.iter().filter_map(|database| database.pattern.as_ref()) {
        *matched.entry(pattern).or_default() += 1;
    }
    // SQLite parses the whole schema of each database that it opens.
    let looks = |database: &Database| {
        let pattern = database.pattern.as_ref();
        query.database.is_some() || pattern.is_none_or(|pattern| matched[pattern] <= SUMMED_UP_BEYOND)
    };
    let statuses = databases.iter().zip(&paths).enumerate();
    let statuses: Vec<_> = statuses
        .map(|(index, (database, path))| survey.status(index, database, path, looks(database)))
        .collect();
    for (database, state) in databases.iter().zip(&statuses) {
        // Not while a push creates it, or if one has.
        if state.commands.is_empty() && state.last_push.is_none() && names_one(query, &databases) {
            database.require_created()?;
        }
    }
    let status = Status {
        time: record::now(),
        version: crate::VERSION.into(),
        server,
        databases: statuses,
    };
    serde_json::to_vec(&status).map_err(|source| Protocol::Unsendable { source }.into())
}

/// The lines of all records that are asked for, oldest first.
fn log(settings: &Settings, query: &Query) -> Result<Vec<u8>> {
    let mut lines = Vec::new();
    let databases = asked(settings, query)?;
    for database in &databases {
        let of_this = record::lines(&database.resolved())?;
        if of_this.is_empty() && names_one(query, &databases) {
            database.require_created()?;
        }
        lines.extend(of_this);
    }
    // The time is the first field, and has the same length in every line.
    lines.sort();
    let skipped = query
        .newest
        .map_or(0, |newest| lines.len().saturating_sub(newest));
    let lines = lines.into_iter().skip(skipped);
    Ok(lines.flat_map(|line| (line + "\n").into_bytes()).collect())
}
