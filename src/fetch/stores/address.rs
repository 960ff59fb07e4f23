//! Addresses of objects in stores.

use std::fmt;
use std::str::FromStr;

use object_store::path::Path;
use thiserror::Error;

/// Whose interface a store has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoreKind {
    /// Amazon S3, and what speaks as it does.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Azure,
}

impl StoreKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::S3, Self::Gcs, Self::Azure];

    /// The scheme of its addresses.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Gcs => "gs",
            Self::Azure => "az",
        }
    }

    /// The kind whose addresses have this scheme.
    pub fn of_scheme(scheme: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|kind| kind.scheme().eq_ignore_ascii_case(scheme))
    }
}

/// Why a text is no address of an object.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StoreAddressError {
    /// Another scheme, or none.
    #[error(
        "{found:?} is no address of a store: use s3://BUCKET/KEY, gs://BUCKET/KEY or az://CONTAINER/KEY"
    )]
    Scheme {
        /// What was given.
        found: String,
    },
    /// No bucket can be called so.
    #[error("{found:?} is no name of a bucket")]
    Bucket {
        /// What was given.
        found: String,
    },
    /// A key with parts that are empty, `.` or `..`, or with control characters.
    #[error(
        "{found:?} is no key: parts between / must not be empty, . or .., and hold no control characters"
    )]
    Key {
        /// What was given.
        found: String,
    },
}

/// An object in a store, or all whose keys begin alike. Keys are written as they are, as the tools of the
/// stores do it: not in percent code.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StoreAddress {
    kind: StoreKind,
    bucket: String,
    /// Without `/` at either end.
    key: String,
    /// Whether `/` stood at the end, or nothing but the bucket was named.
    is_folder: bool,
}

impl StoreAddress {
    /// Whether `text` begins as one does.
    pub fn is_one(text: &str) -> bool {
        let scheme = text.split_once("://").map(|(scheme, _)| scheme);
        scheme.is_some_and(|scheme| StoreKind::of_scheme(scheme).is_some())
    }

    /// Whose interface the store has.
    pub fn kind(&self) -> StoreKind {
        self.kind
    }

    /// Name of the bucket (in Azure: the container).
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// What the object is called in it.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Whether it can only mean all objects below it.
    pub fn is_folder(&self) -> bool {
        self.is_folder
    }

    /// The store alone.
    pub fn store(&self) -> Self {
        Self {
            key: String::new(),
            is_folder: true,
            ..self.clone()
        }
    }

    /// Another object of the same store.
    ///
    /// # Errors
    /// [`StoreAddressError::Key`].
    pub fn with_key(&self, key: &str) -> Result<Self, StoreAddressError> {
        Ok(Self {
            kind: self.kind,
            bucket: self.bucket.clone(),
            key: checked_key(key)?,
            is_folder: key.is_empty() || key.ends_with('/'),
        })
    }

    /// What `text` names in a manifest that lies here: beside it, or with `/` before it from the top of the
    /// bucket.
    ///
    /// # Errors
    /// [`StoreAddressError::Key`], also when it leads out of the bucket.
    pub fn beside(&self, text: &str) -> Result<Self, StoreAddressError> {
        let out = || StoreAddressError::Key {
            found: text.to_owned(),
        };
        let folder = match text.strip_prefix('/') {
            Some(_) => "",
            None => self.key.rsplit_once('/').map_or("", |(folder, _)| folder),
        };
        let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
        for part in text.trim_start_matches('/').split('/') {
            match part {
                "." => {}
                ".." => drop(parts.pop().ok_or_else(out)?),
                part => parts.push(part),
            }
        }
        self.with_key(&parts.join("/"))
    }

    /// Whether `other` is this object or one below it.
    pub fn holds(&self, other: &Self) -> bool {
        let is_below = match other.key.strip_prefix(&self.key) {
            Some(rest) => self.key.is_empty() || rest.is_empty() || rest.starts_with('/'),
            None => false,
        };
        (self.kind, &self.bucket) == (other.kind, &other.bucket) && is_below
    }

    pub(super) fn path(&self) -> Path {
        Path::parse(&self.key).expect("keys are checked when they are read")
    }
}

fn checked_key(key: &str) -> Result<String, StoreAddressError> {
    let bare = key.strip_suffix('/').unwrap_or(key);
    // One at the beginning would vanish without a word.
    let path = Path::parse(bare)
        .ok()
        .filter(|_| !bare.starts_with('/') && !bare.ends_with('/'));
    let bad = || StoreAddressError::Key {
        found: key.to_owned(),
    };
    Ok(path.ok_or_else(bad)?.as_ref().to_owned())
}

/// Names that the stores let buckets have, and no others: some of them become names of hosts.
fn is_bucket(name: &str) -> bool {
    // Azure's containers for the top of an account, web pages, logs and change feeds.
    if matches!(name, "$root" | "$web" | "$logs" | "$blobchangefeed") {
        return true;
    }
    let is_known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
    let is_end = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    (3..=222).contains(&name.len())
        && bytes.iter().copied().all(is_known)
        && is_end(bytes.first())
        && is_end(bytes.last())
        && !name.contains("..")
}

impl FromStr for StoreAddress {
    type Err = StoreAddressError;

    fn from_str(text: &str) -> Result<Self, StoreAddressError> {
        let text = text.trim();
        let no_scheme = || StoreAddressError::Scheme {
            found: text.to_owned(),
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(no_scheme)?;
        let kind = StoreKind::of_scheme(scheme).ok_or_else(no_scheme)?;
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        if !is_bucket(bucket) {
            return Err(StoreAddressError::Bucket {
                found: bucket.to_owned(),
            });
        }
        Ok(Self {
            kind,
            bucket: bucket.to_owned(),
            key: checked_key(key)?,
            is_folder: key.is_empty() || key.ends_with('/'),
        })
    }
}

impl fmt::Display for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.kind.scheme(), self.bucket)?;
        if !self.key.is_empty() {
            write!(f, "/{}", self.key)?;
        }
        let end = if self.is_folder { "/" } else { "" };
        f.write_str(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> StoreAddress {
        text.parse().expect(text)
    }

    #[test]
    fn keys_are_taken_as_they_are_written() {
        for (text, key, shown) in [
            ("s3://photos", "", "s3://photos/"),
            ("s3://photos/", "", "s3://photos/"),
            ("S3://photos/a/b.jpg", "a/b.jpg", "s3://photos/a/b.jpg"),
            (" gs://a.b-c_d/x ", "x", "gs://a.b-c_d/x"),
            (
                "az://$web/a%20b ?#.jpg",
                "a%20b ?#.jpg",
                "az://$web/a%20b ?#.jpg",
            ),
            ("s3://photos/緑/", "緑", "s3://photos/緑/"),
        ] {
            let read = address(text);
            assert_eq!((read.key(), read.to_string().as_str()), (key, shown));
            assert_eq!(address(shown), read, "{text}");
            assert_eq!(read.is_folder(), shown.ends_with('/'), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_says_so() {
        for (text, part) in [
            ("photos/a.jpg", "no address of a store"),
            ("https://photos/a.jpg", "no address of a store"),
            ("s3:/photos/a.jpg", "no address of a store"),
            ("s3:///a.jpg", "no name of a bucket"),
            ("s3://a/b", "no name of a bucket"),
            ("s3://Photos/b", "no name of a bucket"),
            ("s3://evil.example#/b", "no name of a bucket"),
            ("s3://user@photos/b", "no name of a bucket"),
            ("s3://photos:80/b", "no name of a bucket"),
            ("s3://-photos/b", "no name of a bucket"),
            ("s3://pho..tos/b", "no name of a bucket"),
            ("s3://photos//b", "no key"),
            ("s3://photos/a//b", "no key"),
            ("s3://photos/b//", "no key"),
            ("s3://photos/../b", "no key"),
            ("s3://photos/a/./b", "no key"),
            ("s3://photos/a\nb", "no key"),
        ] {
            let error = text.parse::<StoreAddress>().expect_err(text).to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn a_named_prefix_holds_what_is_below_it() {
        for (rule, text, is_held) in [
            ("s3://photos", "s3://photos/a/b.jpg", true),
            ("s3://photos/a", "s3://photos/a/b.jpg", true),
            ("s3://photos/a/", "s3://photos/a/b.jpg", true),
            ("s3://photos/a/b.jpg", "s3://photos/a/b.jpg", true),
            ("s3://photos/a", "s3://photos/ab.jpg", false),
            ("s3://photos/a", "s3://photos/b/a/c.jpg", false),
            ("s3://photos", "gs://photos/a.jpg", false),
            ("s3://photos", "s3://photos2/a.jpg", false),
        ] {
            let is = address(rule).holds(&address(text));
            assert_eq!(is, is_held, "{rule} {text}");
        }
    }

    #[test]
    fn names_in_a_manifest_are_from_its_folder() {
        let manifest = address("s3://photos/lists/l.jsonl");
        for (text, key) in [
            ("a.jpg", Some("lists/a.jpg")),
            ("./a/../b.jpg", Some("lists/b.jpg")),
            ("../a.jpg", Some("a.jpg")),
            ("/a/b.jpg", Some("a/b.jpg")),
            ("../../a.jpg", None),
            ("/../a.jpg", None),
            ("a//b.jpg", None),
        ] {
            let found = manifest.beside(text).ok();
            let found = found.as_ref().map(|address| address.key());
            assert_eq!(found, key, "{text}");
        }
    }
}
