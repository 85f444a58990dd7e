//! Passes file names between Ruby and the core. A name consists of bytes, so the encoding that Ruby tags it with
//! does not matter. Without a locale, Ruby tags no name as UTF-8.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use hotswap_core::visible;
use magnus::value::ReprValue;
use magnus::{function, Error, IntoValue, Object, RModule, RString, Ruby, TryConvert, Value};

/// A file name. Ruby receives it as a UTF-8 string.
pub(crate) struct FileName(pub OsString);

impl FileName {
    pub(crate) fn of(path: &Path) -> Self {
        Self(path.as_os_str().to_owned())
    }

    pub(crate) fn into_path(self) -> PathBuf {
        self.0.into()
    }
}

fn bytes(text: RString) -> Vec<u8> {
    // SAFETY: the bytes are copied before Ruby code can run again.
    unsafe { text.as_slice() }.to_owned()
}

impl TryConvert for FileName {
    fn try_convert(value: Value) -> Result<Self, Error> {
        RString::try_convert(value).map(|name| Self(OsString::from_vec(bytes(name))))
    }
}

// SAFETY: a FileName owns its bytes, and refers to no Ruby object.
unsafe impl magnus::try_convert::TryConvertOwned for FileName {}

impl IntoValue for FileName {
    fn into_value_with(self, ruby: &Ruby) -> Value {
        ruby.enc_str_new(self.0.as_bytes(), ruby.utf8_encoding())
            .as_value()
    }
}

// SAFETY: the conversion returns a new Ruby object, and a FileName keeps no pointer to it.
unsafe impl magnus::IntoValueFromNative for FileName {}

/// `visible(text)`: the text escaped for one line of a log.
fn visible(text: RString) -> String {
    visible::line(bytes(text))
}

pub(crate) fn define(native: RModule) -> Result<(), Error> {
    native.define_singleton_method("visible", function!(visible, 1))
}
