//! Answers that are given again when the same request comes again.

use rusqlite::{OptionalExtension, params};

use super::RememberedAnswer;
use super::sightings::json_text;
use crate::domain::FileDigest;
use crate::store::{Store, StoreError, rows};

impl Store {
    /// The answer remembered under a key; `scope` is whose key it is.
    ///
    /// # Errors
    /// Those of the database.
    pub fn remembered_answer(
        &self,
        scope: &str,
        key: &str,
    ) -> Result<Option<RememberedAnswer>, StoreError> {
        self.connections.read_one(|conn| {
            let found: Option<([u8; 32], u16, String, Vec<u8>)> = conn
                .prepare_cached(
                    "SELECT request, status, headers, body FROM remembered_answers
                     WHERE scope = ?1 AND key = ?2",
                )?
                .query_row([scope, key], |row| row.try_into())
                .optional()?;
            found
                .map(|(request, status, headers, body)| {
                    Ok(RememberedAnswer {
                        request: FileDigest(request),
                        status,
                        headers: serde_json::from_str(&headers)
                            .map_err(|cause| rows::bad_row("remembered_answers", 0, cause))?,
                        body,
                    })
                })
                .transpose()
        })
    }

    /// Remembers an answer for a day, unless there is one under this key already.
    ///
    /// # Errors
    /// Those of the database.
    pub fn remember_answer(
        &self,
        scope: &str,
        key: &str,
        answer: &RememberedAnswer,
    ) -> Result<(), StoreError> {
        self.connections.write(|w| {
            w.conn().execute(
                "INSERT INTO remembered_answers (scope, key, request, status, headers, body)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
                params![
                    scope,
                    key,
                    answer.request.0,
                    answer.status,
                    json_text(&answer.headers),
                    answer.body
                ],
            )?;
            Ok(())
        })
    }
}
