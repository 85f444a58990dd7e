//! Finding the application's socket: through its binstub, or from a folder inside it.

use std::path::{Path, PathBuf};

/// The path of the socket below the application's root, unless another one is configured.
pub(super) const DEFAULT: &str = "tmp/sockets/hotswap.sock";

/// The socket that `HOTSWAP_SOCKET` names. Some container tools set variables to an empty value; that counts as
/// unset.
pub(super) fn of_the_environment() -> Option<PathBuf> {
    let named = std::env::var_os("HOTSWAP_SOCKET")?;
    (!named.is_empty()).then(|| named.into())
}

/// The socket to connect to, or the best guess if there is none. `program` is the script that was started, and
/// `gemfile` the one that Bundler uses.
pub(super) fn find(folder: &Path, program: Option<&Path>, gemfile: Option<&Path>) -> PathBuf {
    let binstub = program.and_then(|program| application_of_binstub(folder, program));
    let bundle = gemfile.and_then(Path::parent).map(Path::to_owned);
    let above = || folder.ancestors().map(Path::to_owned);
    let has_socket = |root: &PathBuf| root.join(DEFAULT).exists();
    let is_application = |root: &PathBuf| root.join("config.ru").exists();
    binstub
        .iter()
        .find(|root| has_socket(root))
        .cloned()
        .or_else(|| above().find(has_socket))
        .or_else(|| bundle.clone().filter(has_socket))
        .or(binstub)
        .or_else(|| above().find(is_application))
        .or_else(|| bundle.filter(is_application))
        .unwrap_or_else(|| folder.to_owned())
        .join(DEFAULT)
}

/// The root of the Rails application that the command belongs to, by the same rules, or `None`. A socket does not
/// matter here.
pub(super) fn rails_application(
    folder: &Path,
    program: Option<&Path>,
    gemfile: Option<&Path>,
) -> Option<PathBuf> {
    let binstub = program.and_then(|program| application_of_binstub(folder, program));
    let above = folder.ancestors().map(Path::to_owned);
    let bundle = gemfile.and_then(Path::parent).map(|bundle| folder.join(bundle));
    let is_rails = |root: &PathBuf| root.join("config/application.rb").exists();
    binstub.into_iter().chain(above).chain(bundle).find(is_rails)
}

/// `/rails/bin/hotswap` belongs to `/rails`, if that is an application.
fn application_of_binstub(folder: &Path, program: &Path) -> Option<PathBuf> {
    let program = folder.join(program);
    let root = program.parent()?.parent()?.to_owned();
    (root.join("config.ru").exists() || root.join("config/application.rb").exists()).then_some(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(folder: &Path, program: Option<&Path>) -> PathBuf {
        find(folder, program, None)
    }

    fn application(root: &Path) -> PathBuf {
        std::fs::create_dir_all(root.join("tmp/sockets")).unwrap();
        std::fs::create_dir_all(root.join("app/models")).unwrap();
        std::fs::write(root.join("config.ru"), "").unwrap();
        std::fs::write(root.join(DEFAULT), "").unwrap();
        root.join(DEFAULT)
    }

    #[test]
    fn from_any_folder_inside_the_application() {
        let folder = tempfile::tempdir().unwrap();
        let socket = application(folder.path());
        assert_eq!(found(&folder.path().join("app/models"), None), socket);
    }

    #[test]
    fn from_outside_through_the_binstub_which_wins_over_the_folder() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let socket = application(one.path());
        application(other.path());
        let binstub = one.path().join("bin/hotswap");
        assert_eq!(found(Path::new("/"), Some(&binstub)), socket);
        assert_eq!(found(other.path(), Some(&binstub)), socket);
    }

    #[test]
    fn an_application_that_does_not_run_is_named_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let socket = application(folder.path());
        std::fs::remove_file(&socket).unwrap();
        assert_eq!(found(&folder.path().join("app"), None), socket);
        let elsewhere = tempfile::tempdir().unwrap();
        assert_eq!(found(elsewhere.path(), None), elsewhere.path().join(DEFAULT));
    }

    #[test]
    fn a_rails_application_is_found_by_the_same_rules_and_needs_no_socket() {
        let (rails, rack) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        application(rack.path());
        std::fs::create_dir_all(rails.path().join("config")).unwrap();
        std::fs::write(rails.path().join("config/application.rb"), "").unwrap();
        let root = Some(rails.path().to_owned());
        let binstub = rails.path().join("bin/hotswap");
        assert_eq!(rails_application(rack.path(), Some(&binstub), None), root);
        assert_eq!(rails_application(&rails.path().join("config"), None, None), root);
        let gemfile = rails.path().join("Gemfile");
        assert_eq!(rails_application(rack.path(), None, Some(&gemfile)), root);
        assert_eq!(rails_application(rack.path(), None, None), None);
    }
}
