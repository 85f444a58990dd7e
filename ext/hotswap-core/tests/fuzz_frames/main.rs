//! Sends malformed frames to the code with which the server and the worker read frames.
//!
//! There must be no panic, and no wait for data that was never announced. A message that is accepted must be one
//! that hotswap could have sent, and a body that is accepted must be the one that was sent.
//!
//! `FUZZ_FRAMES` is the number of mutations (a short run by default), and `FUZZ_SEED` the first seed. Inputs that
//! once failed are in `corpus/`, and come first.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use hotswap_core::protocol::{
    BodyReader, BodyWriter, Connection, Endpoint, Message, Narration, Piece, Plan, Request,
};
use hotswap_core::sidecar::Sidecar;
use hotswap_core::sys::identity::Identity;

mod mutation;

use mutation::Mutation;

/// How many streams of frames are sent at once.
const STREAMS_AT_ONCE: usize = 16;
/// How many bytes a socket takes while its reader does not read.
const A_BUFFERFUL: usize = 64 * 1024;
/// Much more than reading a stream takes, and much less than a hang.
const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn invalid_frames_do_no_harm() {
    let wanted = number("FUZZ_FRAMES", 10_000);
    let mut mutation = Mutation::new(number("FUZZ_SEED", 1));
    let (seeds, content) = seeds();
    for kept in kept() {
        read(&kept, &content);
    }
    let (mut frames, mut messages, mut bodies, begun) = (0, 0, 0, Instant::now());
    while frames < wanted {
        for _ in 0..STREAMS_AT_ONCE {
            let stream = mutation.of(&seeds);
            let seen = read(&stream, &content);
            frames += seen.frames;
            messages += seen.messages;
            bodies += seen.bodies;
        }
    }
    println!(
        "{frames} frames in {:.0} s: {messages} understood as messages, {bodies} bodies believed",
        begun.elapsed().as_secs_f64()
    );
    assert!(
        messages > 0,
        "the mutations leave nothing that is read to its end"
    );
}

#[derive(Default)]
struct Seen {
    frames: u64,
    messages: u64,
    bodies: u64,
}

/// Reads a stream as the worker does: messages, then a body. Fails if any of it is taken for something else.
fn read(stream: &[u8], content: &[u8]) -> Seen {
    let begun = Instant::now();
    let mut seen = Seen::default();
    let connection = sent(stream);
    while let Ok(Some(message)) = counted(connection.receive(), &mut seen) {
        seen.messages += 1;
        let again = serde_json::to_vec(&message).expect("a message can be sent");
        assert_eq!(
            message,
            serde_json::from_slice(&again).expect("and is understood again")
        );
    }
    let connection = sent(stream);
    let mut body = BodyReader::new(&connection);
    let mut arrived = Vec::new();
    loop {
        match counted(body.receive(), &mut seen) {
            Ok(Piece::Chunk(chunk)) => arrived.extend_from_slice(chunk),
            Ok(Piece::Instead(_)) => {}
            Ok(Piece::End) => {
                assert!(arrived == content, "a body was accepted that was not sent");
                seen.bodies += 1;
                break;
            }
            Err(_) => break,
        }
    }
    assert!(begun.elapsed() < PATIENCE, "it took {:?}", begun.elapsed());
    seen
}

fn counted<T>(answer: T, seen: &mut Seen) -> T {
    seen.frames += 1;
    answer
}

/// A connection whose peer has sent the stream and has gone.
fn sent(stream: &[u8]) -> Connection {
    let (mut here, there) = UnixStream::pair().unwrap();
    if stream.len() > A_BUFFERFUL {
        let stream = stream.to_owned();
        // A reader that stops leaves the rest unread.
        std::thread::spawn(move || drop(here.write_all(&stream)));
    } else {
        here.write_all(stream).unwrap();
    }
    let there = Connection::new(there);
    there.set_patience(Some(PATIENCE)).unwrap();
    there
}

/// The streams of valid peers, and the content of the only body in them.
fn seeds() -> (Vec<Vec<u8>>, Vec<u8>) {
    let endpoint = |raw: &str| Endpoint {
        raw: raw.into(),
        stdio: raw == "-",
        absolute: Path::new("/srv/app").join(raw),
        resolved: Path::new("/srv/app").join(raw),
        identity: Some(Identity {
            device: 64_769,
            inode: 1_234_567,
        }),
        absent: false,
        is_version: false,
    };
    let messages = [
        Message::Hello {
            protocol: 1,
            version: "1.0.0".into(),
        },
        Message::Join {
            session: "0123456789abcdef0123456789abcdef".into(),
        },
        Message::Request(Box::new(Request {
            src: endpoint("-"),
            dst: endpoint("storage/production.sqlite3"),
            skip_integrity_check: false,
            skip_schema_check: true,
            in_place: None,
            timeout_ms: Some(30_000),
            max_pause_ms: None,
            identity: true,
            if_match: Some("0123456789abcdef0123456789abcdef".to_string().try_into().unwrap()),
            if_changed: true,
            max_shrink: None,
            tables: None,
            allow_orphans: false,
            redacted: false,
            into_folder: false,
            dry_run: false,
            probe: Some("http://localhost/up".into()),
            probe_timeout_ms: None,
            folder: "/srv/app".into(),
            label: Some("v1".into()),
            offline: false,
            may_decline: false,
        })),
        Message::Plan(Plan::SendStream),
        Message::File {
            length: 8192,
            sidecars: vec![Sidecar::Wal, Sidecar::Journal],
            stamps: vec![],
        },
        Message::Target,
        Message::Status("Swapping database...".into()),
        Message::Error("no".into()),
        Message::Progress {
            stage: "copying".into(),
            done: 1,
            total: 2,
        },
        Message::Log(Narration {
            level: "info".into(),
            text: "push started".into(),
        }),
        Message::Done {
            code: 0,
            figures: None,
        },
    ];
    let content: Vec<u8> = (0..3000_u32).map(|i| (i * 31 % 251) as u8).collect();
    let body = recorded(|connection| {
        let mut body = BodyWriter::new(connection);
        content.chunks(1000).for_each(|chunk| body.send(chunk).unwrap());
        body.finish().unwrap();
    });
    let mut seeds: Vec<Vec<u8>> = messages
        .iter()
        .map(|message| recorded(|connection| connection.send(message).unwrap()))
        .collect();
    let conversation = seeds.concat();
    seeds.extend([conversation, body]);
    (seeds, content)
}

fn recorded(speak: impl FnOnce(&mut Connection)) -> Vec<u8> {
    let (here, mut there) = UnixStream::pair().unwrap();
    speak(&mut Connection::new(here));
    let mut said = Vec::new();
    std::io::Read::read_to_end(&mut there, &mut said).unwrap();
    said
}

fn kept() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz_frames/corpus");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}
