//! Names of files on their way between Ruby and the core. A name is bytes: what Ruby's locale calls them does not matter, and
//! where there is no locale Ruby calls none of them UTF-8.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use hotswap_core::visible;
use magnus::value::ReprValue;
use magnus::{function, Error, IntoValue, Object, RModule, RString, Ruby, TryConvert, Value};

/// See the module. To Ruby it is UTF-8.
pub(crate) struct FileName(pub OsString);

impl FileName {
    pub fn of(path: &Path) -> Self {
        Self(path.as_os_str().to_owned())
    }

    pub fn into_path(self) -> PathBuf {
        self.0.into()
    }
}

fn bytes(text: RString) -> Vec<u8> {
    // SAFETY: they are copied before Ruby runs again.
    unsafe { text.as_slice() }.to_owned()
}

impl TryConvert for FileName {
    fn try_convert(value: Value) -> Result<Self, Error> {
        RString::try_convert(value).map(|name| Self(OsString::from_vec(bytes(name))))
    }
}

// SAFETY: it owns its bytes, and holds nothing of Ruby's.
unsafe impl magnus::try_convert::TryConvertOwned for FileName {}

impl IntoValue for FileName {
    fn into_value_with(self, ruby: &Ruby) -> Value {
        ruby.enc_str_new(self.0.as_bytes(), ruby.utf8_encoding())
            .as_value()
    }
}

// SAFETY: what it becomes is a Ruby object, which it refers to by no pointer of its own.
unsafe impl magnus::IntoValueFromNative for FileName {}

/// `visible(text)`: as it can stand within a line of a log.
fn visible(text: RString) -> String {
    visible::line(bytes(text))
}

pub(crate) fn define(native: RModule) -> Result<(), Error> {
    native.define_singleton_method("visible", function!(visible, 1))
}
