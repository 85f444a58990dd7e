//! The report of a dry run, as people read it.

use std::fmt::{Display, Formatter, Result};

use crate::protocol::{DryRun, Process, Side, Way};
use crate::visible;

/// The width of the first column.
const WIDTH: usize = 16;

/// A report, for the database with this label.
pub(super) struct Report<'a> {
    pub database: &'a str,
    pub run: &'a DryRun,
    /// Whether the push would be refused.
    pub refused: bool,
}

impl Display for Report<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        let run = self.run;
        let row = |out: &mut Formatter<'_>, name: &str, value: &str| writeln!(out, "{name:WIDTH$}{value}");
        let head = match self.refused {
            true => "Nothing was swapped. A push would be refused. The dry run found:",
            false => "Nothing was swapped. A push would do this:",
        };
        writeln!(out, "{head}\n")?;
        row(out, "database", self.database)?;
        match (run.way, &run.why) {
            (Way::InPlace, Some(why)) => row(out, "way", &format!("in place, because the database {why}"))?,
            (Way::InPlace, None) => row(out, "way", "in place")?,
            (Way::Rename, _) => row(out, "way", "rename")?,
        }
        let pause = match (run.pause_ms, run.way) {
            (None, _) => "unknown".into(),
            (Some(ms), Way::Rename) => format!("about {ms:.1} ms, as in the last swaps"),
            (Some(ms), Way::InPlace) => format!("about {ms:.1} ms, as estimated"),
        };
        row(out, "pause", &pause)?;
        if let Some(ms) = run.drain_ms {
            row(
                out,
                "drain",
                &format!("{ms:.1} ms until the running requests and jobs had ended"),
            )?;
        }
        if let Some(integrity) = &run.integrity {
            row(out, "integrity check", integrity)?;
        }
        match run.schema_difference.as_deref() {
            None => {}
            Some("") => row(out, "schema", "the same")?,
            Some(difference) => {
                row(out, "schema", "differs")?;
                difference
                    .lines()
                    .try_for_each(|line| writeln!(out, "  {line}"))?;
            }
        }
        for process in &run.processes {
            let Process { pid, role, command } = process;
            let process = match command.is_empty() {
                // This system does not tell what a process runs.
                true => format!("process {pid}"),
                false => format!("{role} {pid} ({command})"),
            };
            row(out, "takes part", &process)?;
        }
        for warning in &run.warnings {
            row(out, "warning", warning)?;
        }
        self.sides(out)?;
        self.rows(out)?;
        self.tables(out)
    }
}

impl Report<'_> {
    fn sides(&self, out: &mut Formatter<'_>) -> Result {
        let DryRun { live, file, .. } = self.run;
        writeln!(out, "\n{:WIDTH$}{:>14}{:>14}", "", "live", "file")?;
        let names = [
            "bytes",
            "page size",
            "journal mode",
            "application_id",
            "user_version",
        ];
        let values = |side: &Side| {
            [
                side.bytes.to_string(),
                side.page_size.to_string(),
                side.journal_mode.clone(),
                side.application_id.to_string(),
                side.user_version.to_string(),
            ]
        };
        let live = live.as_ref().map_or([(); 5].map(|()| "-".to_owned()), values);
        for ((name, live), file) in names.iter().zip(live).zip(values(file)) {
            writeln!(out, "{name:WIDTH$}{live:>14}{file:>14}")?;
        }
        Ok(())
    }

    fn rows(&self, out: &mut Formatter<'_>) -> Result {
        let Some(rows) = self.run.rows.as_ref().filter(|rows| !rows.is_empty()) else {
            return Ok(());
        };
        writeln!(out, "\nrows")?;
        let width = rows
            .keys()
            .map(|name| name.chars().count() + 3)
            .max()
            .unwrap_or(0)
            .max(WIDTH);
        let shown = |count: Option<u64>| count.map_or("-".into(), |count| count.to_string());
        for (name, change) in rows {
            let name = format!("  {name}");
            writeln!(
                out,
                "{name:width$}{:>14}{:>14}",
                shown(change.before),
                shown(change.after)
            )?;
        }
        Ok(())
    }

    fn tables(&self, out: &mut Formatter<'_>) -> Result {
        let Some(tables) = &self.run.tables else {
            return Ok(());
        };
        if tables.is_empty() {
            return writeln!(out, "\nThe tables have these rows already.");
        }
        let width = tables
            .keys()
            .map(|name| name.chars().count() + 3)
            .max()
            .unwrap_or(0)
            .max(WIDTH);
        let names = ["added", "changed", "removed", "kept"];
        writeln!(
            out,
            "\n{:width$}{}",
            "rows",
            names.map(|name| format!("{name:>14}")).concat()
        )?;
        for (name, change) in tables {
            let counts = [change.added, change.changed, change.removed, change.kept];
            let name = format!("  {}", visible::line(name));
            writeln!(
                out,
                "{name:width$}{}",
                counts.map(|count| format!("{count:>14}")).concat()
            )?;
        }
        Ok(())
    }
}
