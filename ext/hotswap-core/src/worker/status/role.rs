//! What a process is for, as its command line tells.

use crate::status::Role;

/// The words by which a program of each role is known: the name of a program, or the beginning of the title that it
/// gives itself.
const KNOWN: &[(Role, &[&str])] = &[
    (Role::Hotswap, &["hotswap"]),
    (
        Role::Job,
        &[
            "solid-queue",
            "solid_queue",
            "sidekiq",
            "good_job",
            "resque",
            "delayed_job",
            "delayed_job.rb",
            "que",
            "jobs",
            "shoryuken",
            "sneakers",
            "jobs:work",
            "solid_queue:start",
            "karafka",
            "clockwork",
        ],
    ),
    (
        Role::Web,
        &[
            "puma",
            "unicorn",
            "unicorn_rails",
            "falcon",
            "passenger",
            "rackup",
            "thin",
            "iodine",
            "agoo",
            "webrick",
            "pitchfork",
        ],
    ),
    (Role::Console, &["irb", "pry", "console", "dbconsole", "sqlite3"]),
];

/// The role of the process with this command line.
pub(super) fn role(command: &[String]) -> Role {
    // A program that has changed its title has all of it in one word: "puma: cluster worker 0: 4711 [app]".
    let words: Vec<_> = command
        .iter()
        .flat_map(|words| words.split_whitespace())
        .take(12)
        .collect();
    // hotswap's own program is a file of a fixed name.
    if words
        .iter()
        .any(|word| word.ends_with("hotswap/programs/worker.rb"))
    {
        return Role::Hotswap;
    }
    let rails = words.iter().position(|word| program(word) == "rails");
    if let Some(subcommand) = rails.and_then(|at| words.get(at + 1)) {
        match *subcommand {
            "server" | "s" => return Role::Web,
            "console" | "c" | "dbconsole" | "db" => return Role::Console,
            _ => {}
        }
    }
    let of_word = |word: &&str| {
        let name = program(word);
        KNOWN
            .iter()
            .find(|(_, names)| names.contains(&name))
            .map(|(role, _)| *role)
    };
    words.iter().find_map(of_word).unwrap_or(Role::Other)
}

/// The name of the program in a word: "solid-queue" of "solid-queue-worker(1.2.1):", "puma" of "/usr/bin/puma:".
fn program(word: &str) -> &str {
    let name = word.rsplit('/').next().unwrap_or(word);
    let end = name.find(['(', '[', ' ']).unwrap_or(name.len());
    let name = name[..end].trim_end_matches(':');
    match name.starts_with("solid-queue") {
        true => "solid-queue",
        false => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_tells_the_role() {
        for (line, expected) in [
            ("puma: cluster worker 0: 4711 [app]", Role::Web),
            ("puma 6.6.0 (tcp://0.0.0.0:3000) [app]", Role::Web),
            ("/usr/bin/ruby bin/rails server", Role::Web),
            ("unicorn worker[0] -c config/unicorn.rb", Role::Web),
            ("solid-queue-worker(1.2.1): waiting for jobs in *", Role::Job),
            ("sidekiq 7.3.0 app [0 of 5 busy]", Role::Job),
            ("ruby bin/jobs", Role::Job),
            ("rake jobs:work", Role::Job),
            ("ruby bin/rails console", Role::Console),
            ("irb", Role::Console),
            ("sqlite3 storage/production.sqlite3", Role::Console),
            (
                "/usr/bin/ruby --disable-gems -I x /gems/hotswap/programs/worker.rb y",
                Role::Hotswap,
            ),
            ("litestream replicate", Role::Other),
            ("ruby bin/rails runner p", Role::Other),
            ("", Role::Other),
        ] {
            let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
            assert_eq!(role(&words), expected, "{line}");
            assert_eq!(role(&[line.to_owned()]), expected, "{line}, as a title");
        }
    }
}
