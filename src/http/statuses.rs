//! The one table from errors to statuses.

use super::problem::{Problem, ProblemKind};
use crate::engine::EngineError;
use crate::imaging::ImagingError;
use crate::store::StoreError;

impl From<EngineError> for Problem {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Imaging(error) => error.into(),
            EngineError::Store(error) => error.into(),
            EngineError::BlankReference => Self::new(ProblemKind::BadPicture, error.to_string()),
            EngineError::PhotoNotKept { .. } => Self::new(ProblemKind::Conflict, error.to_string()),
            EngineError::Backlog { .. } => Self::internal(ProblemKind::Busy),
            EngineError::Embed(_)
            | EngineError::Ocr(_)
            | EngineError::Index(_)
            | EngineError::Judge(_)
            | EngineError::Unreadable { .. }
            | EngineError::BadBackground { .. }
            | EngineError::BadDescription { .. }
            | EngineError::ModelMismatch { .. } => Self::hidden(ProblemKind::Internal, &error),
        }
    }
}

impl From<ImagingError> for Problem {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn from(error: ImagingError) -> Self {
        let kind = match &error {
            ImagingError::TooManyBytes { .. } => ProblemKind::TooLarge,
            ImagingError::Empty
            | ImagingError::UnknownFormat { .. }
            | ImagingError::Truncated { .. }
            | ImagingError::Damaged { .. }
            | ImagingError::UnsupportedVariant { .. }
            | ImagingError::NoPixels { .. }
            | ImagingError::SideTooLong { .. }
            | ImagingError::TooManyPixels { .. }
            | ImagingError::TooMuchMemory { .. }
            | ImagingError::DecoderPanicked { .. }
            | ImagingError::Svg(_) => ProblemKind::BadPicture,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<StoreError> for Problem {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::NoSuchAsset { .. }
            | StoreError::NoSuchPicture { .. }
            | StoreError::NoSuchFinding { .. }
            | StoreError::NoSuchKey { .. }
            | StoreError::NoSuchScan { .. }
            | StoreError::NoSuchWebhook { .. }
            | StoreError::NoSuchBrand { .. }
            | StoreError::NoSuchListing { .. } => {
                Self::new(ProblemKind::NotFound, error.to_string())
            }
            StoreError::NothingToUndo { .. }
            | StoreError::NotConfirmed { .. }
            | StoreError::TooManyExemplars { .. }
            | StoreError::TooManyScans { .. } => {
                Self::new(ProblemKind::Conflict, error.to_string())
            }
            StoreError::BadKey { .. }
            | StoreError::BadPromise { .. }
            | StoreError::BadWebhook { .. } => Self::new(ProblemKind::Invalid, error.to_string()),
            StoreError::Draft(refusal) => Self::new(ProblemKind::Invalid, refusal.to_string()),
            StoreError::Locked { .. } => Self::hidden(ProblemKind::Busy, &error),
            StoreError::DiskFull { .. } => Self::hidden(ProblemKind::DiskFull, &error),
            StoreError::Folder { .. }
            | StoreError::CannotOpen { .. }
            | StoreError::NotADatabase { .. }
            | StoreError::ForeignDatabase { .. }
            | StoreError::Damaged { .. }
            | StoreError::NewerSchema { .. }
            | StoreError::ReadOnly { .. }
            | StoreError::ModelMismatch { .. }
            | StoreError::Undescribed { .. }
            | StoreError::RevisionAhead { .. }
            | StoreError::BadRow { .. }
            | StoreError::NoRandomness(_)
            | StoreError::Sqlite(_) => Self::hidden(ProblemKind::Internal, &error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AssetId, DomainError};

    #[test]
    fn clients_see_their_own_mistakes_and_nothing_else() {
        struct Case {
            problem: Problem,
            status: u16,
            told: bool,
        }
        let locked = StoreError::Locked {
            path: "/secret/place".into(),
            waited_ms: 5,
            source: rusqlite::Error::InvalidQuery,
        };
        let cases = [
            Case {
                problem: EngineError::Imaging(ImagingError::Empty).into(),
                status: 422,
                told: true,
            },
            Case {
                problem: StoreError::NoSuchAsset { id: AssetId(7) }.into(),
                status: 404,
                told: true,
            },
            Case {
                problem: StoreError::Draft(DomainError::Empty { field: "brand" }).into(),
                status: 422,
                told: true,
            },
            Case {
                problem: EngineError::Store(locked).into(),
                status: 503,
                told: false,
            },
        ];
        for case in cases {
            assert_eq!(case.problem.kind.status().as_u16(), case.status);
            assert_eq!(
                case.problem.cause.is_none(),
                case.told,
                "{:?}",
                case.problem
            );
            assert!(
                !case.problem.detail.contains("secret"),
                "{:?}",
                case.problem
            );
        }
    }
}
