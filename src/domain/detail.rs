//! A pipeline's own document (`GET pipelines/:id`), which tells more than its row of the listing: what of it is held, whether it has to
//! be asked for, and what readers get. Pure decisions, the same for every store.

use std::borrow::Cow;

use serde::Deserialize;

use super::pipeline::{Entries, is_listed, shown_in};
use super::{Document, Eagerness, Piece, Pipeline, PipelinePhase, Reason, Status, Timestamp};

/// What is held of a pipeline's own document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetailRecord {
    /// Missing, whole, partial (held, but of an older state than the pipeline's row), or absent with a reason.
    pub piece: Piece,
    /// The document; also where it is only of an older state.
    pub document: Option<Document>,
}

impl DetailRecord {
    /// Returns the record of a document that nobody fetched yet.
    pub fn missing() -> Self {
        Self { piece: Piece::Missing, document: None }
    }

    /// Returns the last change and the status that a document shows.
    pub fn shown(document: &Document) -> Option<(Timestamp, Status)> {
        shown_in(document)
    }

    /// Returns whether what is held is of the state in which GitLab shows the pipeline. Its `updated_at` and status say so, as they do
    /// for the listings.
    pub fn is_of(&self, updated_at: Timestamp, status: &Status) -> bool {
        self.document.as_ref().and_then(shown_in).is_some_and(|shown| (shown.0, &shown.1) == (updated_at, status))
    }

    /// Returns whether a pipeline that is listed like this is asked for itself. That of an active one changes without its row: its
    /// jobs' coverage is part of it.
    pub fn is_wanted(&self, listed: &Pipeline, eagerness: Eagerness) -> bool {
        match self.piece {
            Piece::Missing | Piece::Partial | Piece::Live => true,
            Piece::Whole => {
                let is_same = self.is_of(listed.updated_at, &listed.status) && !self.is_of_elsewhere(&listed.document);
                listed.phase() == PipelinePhase::Active || !is_same
            }
            Piece::Absent(Reason::Failed | Reason::NotFinished) => eagerness != Eagerness::Missing,
            Piece::Absent(_) => false,
        }
    }

    /// Returns whether the row shows the pipeline at another address: its project has moved, which changes nothing else of the row,
    /// and the document tells where it was in more places than the row does.
    fn is_of_elsewhere(&self, row: &Document) -> bool {
        #[derive(Deserialize)]
        struct Wire<'a> {
            #[serde(borrow)]
            web_url: Option<Cow<'a, str>>,
        }
        fn address(document: &Document) -> Option<Cow<'_, str>> {
            serde_json::from_str::<Wire<'_>>(&document.text).ok()?.web_url
        }
        let (here, there) = (self.document.as_ref().and_then(address), address(row));
        here.zip(there).is_some_and(|(here, there)| here != there)
    }

    /// Returns what readers get of a pipeline with this row: the document, byte for byte, where the row says the same. A row that
    /// GitLab changed since wins: it is the newer of two answers, and lists tell it too. Then its keys replace the document's,
    /// and the status in other words is left out, because it would contradict. What GitLab tells in the document only stays
    /// as it was. `None` where none is held.
    pub fn answer(&self, row: &Document) -> Option<Document> {
        let document = self.document.as_ref()?;
        if self.piece == Piece::Whole && row.as_of <= document.as_of {
            return Some(document.clone());
        }
        let merged = merged(&document.text, &row.text)?;
        Some(Document { text: merged.into(), as_of: row.as_of })
    }
}

/// Returns a document with the values that a row of the listing has for its keys; where nothing differs, as GitLab wrote it.
fn merged(document: &str, row: &str) -> Option<String> {
    let (mut whole, row): (Entries<'_>, Entries<'_>) =
        (serde_json::from_str(document).ok()?, serde_json::from_str(row).ok()?);
    let (mut differs, mut other_status) = (false, false);
    for (key, value) in row.0.into_iter().filter(|(key, _)| is_listed(key)) {
        match whole.0.iter_mut().find(|(known, _)| *known == key) {
            Some((_, known)) if known.get() == value.get() => {}
            Some((_, known)) => {
                (differs, other_status) = (true, other_status || key == "status");
                *known = value;
            }
            None => {
                differs = true;
                whole.0.push((key, value));
            }
        }
    }
    if !differs {
        return Some(document.to_owned());
    }
    if other_status {
        whole.0.retain(|(key, _)| key != "detailed_status");
    }
    serde_json::to_string(&whole).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str = r#"{"id":9,"status":"success","updated_at":"2026-11-20T09:16:16.200Z","name":"n\u0026m"}"#;
    const WHOLE: &str = r#"{"id":9, "status":"success","updated_at":"2026-11-20T09:16:16.200Z","name":"n\u0026m","user":{"id": 1},"detailed_status":{"text":"Passed"}}"#;

    fn document(text: &str, second: i64) -> Document {
        Document { text: text.into(), as_of: Timestamp::from_millis(second * 1000) }
    }

    #[test]
    fn the_document_is_answered_as_gitlab_wrote_it_while_the_row_says_the_same() {
        let held = DetailRecord { piece: Piece::Whole, document: Some(document(WHOLE, 5)) };
        for as_of in [4, 5, 6] {
            assert_eq!(&*held.answer(&document(ROW, as_of)).expect("a document").text, WHOLE);
        }
        assert_eq!(DetailRecord::missing().answer(&document(ROW, 5)), None);
    }

    #[test]
    fn a_newer_row_wins_and_nothing_contradicts_it() {
        let held = DetailRecord { piece: Piece::Partial, document: Some(document(WHOLE, 5)) };
        let row = ROW.replace("success", "running").replace("09:16", "09:20");
        let answered = held.answer(&document(&row, 6)).expect("a document");
        let expected =
            r#"{"id":9,"status":"running","updated_at":"2026-11-20T09:20:16.200Z","name":"n\u0026m","user":{"id": 1}}"#;
        assert_eq!((&*answered.text, answered.as_of), (expected, Timestamp::from_millis(6000)));
    }

    #[test]
    fn only_the_state_that_gitlab_shows_is_good_enough() {
        let held = DetailRecord { piece: Piece::Whole, document: Some(document(WHOLE, 5)) };
        let listed = |text: &str| {
            let raw = serde_json::from_str(text).expect("JSON");
            Pipeline::parse(super::super::ProjectId(7), raw, Timestamp::default()).expect("a pipeline")
        };
        let (same, running) = (listed(ROW), listed(&ROW.replace("success", "running")));
        assert!(!held.is_wanted(&same, Eagerness::Unsettled) && held.is_wanted(&running, Eagerness::Missing));
        assert!(held.is_wanted(&listed(&ROW.replace("09:16", "09:17")), Eagerness::Missing));
        let at =
            |place: &str, text: &str| text.replacen('{', &format!(r#"{{"web_url":"https://g.example/{place}","#), 1);
        let held_at = |place: &str| DetailRecord { document: Some(document(&at(place, WHOLE), 5)), ..held.clone() };
        assert!(held_at("a").is_wanted(&listed(&at("b", ROW)), Eagerness::Missing), "its project has moved");
        assert!(
            !held_at("a").is_wanted(&listed(&at("a", ROW)), Eagerness::Missing)
                && !held_at("a").is_wanted(&same, Eagerness::Missing)
        );
        let absent = |reason| DetailRecord { piece: Piece::Absent(reason), document: None };
        assert!(!absent(Reason::Failed).is_wanted(&same, Eagerness::Missing));
        assert!(absent(Reason::Failed).is_wanted(&same, Eagerness::Unsettled));
        assert!(!absent(Reason::Forbidden).is_wanted(&running, Eagerness::Unsettled));
        assert!(DetailRecord::missing().is_wanted(&same, Eagerness::Missing));
    }
}
