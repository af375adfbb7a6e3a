//! Parts of a job's log: some of its lines or bytes, what matches, a section, where it went wrong.

use actix_web::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use serde_json::{Value, json};

use crate::access::FileRight;
use crate::api::answer::Problem;
use crate::api::freshness::JobPart;
use crate::api::jobs::X_CISTERN_LOG;
use crate::api::openapi::{Answer, Basis, Kind, Operation, parameter, shapes};
use crate::api::provenance::Held;
use crate::api::query::Query;
use crate::api::reply;
use crate::api::view::View;
use crate::domain::Piece;
use crate::gitlab::CREDENTIALS;
use crate::log::{Request, Section};
use crate::parts;
use crate::store::JobRow;

pub(in crate::api) const PART: Operation = Operation {
    id: "getLogPart",
    tag: "logs",
    summary: "Part of a job's log",
    about: "At most one of `head`, `tail`, `lines`, `bytes`, `section` and `errors` says which part; `grep` searches in it. Only \
            what is asked for is read. Bytes are those of `trace`. Lines are joined as on GitLab's page: an entry with `+` in its \
            stamp goes on with its stream's last line. What a `\\r` took back is not searched. HTML is a fragment for a `<pre>`: escaped, \
            with colours as classes.",
    parameters: &[&[
        parameter("tail", Kind::Number(0, u64::MAX), "So many of the last lines."),
        parameter("head", Kind::Number(0, u64::MAX), "So many of the first lines."),
        parameter("lines", Kind::Text, "These lines, as in `1-100` or `50-`; the first one is line 1."),
        parameter("bytes", Kind::Text, "These bytes, as in `0-1023` or `1024-`; the first one is byte 0."),
        parameter("section", Kind::Text, "The first section of this name."),
        parameter("errors", Kind::Switch, "The last command, what it wrote, and the runner's verdict."),
        parameter(
            "grep",
            Kind::Text,
            "Only lines that match this regular expression. A search that computes for more than 5 s is 422.",
        ),
        parameter("ignore_case", Kind::Switch, "Whatever the case of letters."),
        parameter("invert", Kind::Switch, "The lines that do not match instead."),
        parameter("context", Kind::Number(0, 50), "So many lines around each match; also `before` and `after`."),
        parameter("before", Kind::Number(0, 50), "So many lines before each match."),
        parameter("after", Kind::Number(0, 50), "So many lines after each match."),
        parameter("limit", Kind::Number(0, u64::MAX), "At most so many matches."),
        parameter("count", Kind::Switch, "Only how many match."),
        parameter(
            "ansi",
            Kind::Word(&["keep", "strip", "html"]),
            "What becomes of colours and other control sequences.",
        ),
        parameter("timestamps", Kind::Word(&["keep", "strip"]), "What becomes of the time before each line."),
        parameter(
            "format",
            Kind::Word(&["text", "json"]),
            "`json`: one object a line, with number, offset, section and time.",
        ),
    ]],
    basis: Basis::Derived,
    answer: Answer::Part,
    problems: &[422],
};

pub(in crate::api) const SECTIONS: Operation = Operation {
    id: "listLogSections",
    tag: "logs",
    summary: "The sections of a job's log",
    about: "As the log itself says: whoever writes the job's script writes them.",
    parameters: &[],
    basis: Basis::Derived,
    answer: Answer::One(shapes::LOG_SECTIONS),
    problems: &[],
};

pub(in crate::api) const ERRORS: Operation = Operation {
    id: "getLogErrors",
    tag: "logs",
    summary: "Where a job went wrong",
    about: "The last command of its script, the lines that it wrote, those that look like errors, and the runner's verdict. It is \
            read from the log: a help to find the place, and no more.",
    parameters: &[],
    basis: Basis::Derived,
    answer: Answer::One(shapes::LOG_ERRORS),
    problems: &[],
};

/// Answers with part of a log.
pub(in crate::api) async fn part(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    view: View,
) -> Result<HttpResponse, Problem> {
    let query = Query::of(&request);
    let asked = query.pairs().iter().filter(|(key, _)| !CREDENTIALS.contains(&key.as_str()));
    let asked: Vec<(&str, &str)> = asked.map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let wanted = Request::parse(asked.iter().copied()).map_err(|bad| Problem::Parameter(bad.to_string()))?;
    // A log that is replaced between the row and its first byte is looked up once more.
    for _ in 0..2 {
        let (right, Held { row, provenance }) = find(&view, &path).await?;
        let reading = match view.log(right, &row).read(wanted.clone()).await {
            Err(parts::Error::Gone) => continue,
            read => read?,
        };
        let media = reading.media_type();
        let head = |response: &mut HttpResponseBuilder| {
            response
                .insert_header((CONTENT_TYPE, media))
                .insert_header((CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'"))
                .insert_header((X_CISTERN_LOG, if row.log.piece == Piece::Whole { "settled" } else { "live" }));
        };
        let version = (row.log.blob, row.log.size, &asked);
        let size = reading.size();
        let body = async || Ok(reading.begun().await?.into_stream());
        return reply::made(&request, provenance, version, head, size, body).await;
    }
    Err(Problem::Away)
}

/// Answers with the sections of a log.
pub(in crate::api) async fn sections(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    view: View,
) -> Result<HttpResponse, Problem> {
    let (right, Held { row, provenance }) = find(&view, &path).await?;
    let mut log = view.log(right, &row);
    let found = log.sections().await?;
    let answer = json!({
        "job_id": row.key.job,
        "size": log.size(),
        "lines": log.lines().await?,
        "truncated": found.truncated,
        "sections": found.all.iter().map(section).collect::<Vec<_>>(),
    });
    Ok(reply::json(&request, provenance, answer.to_string()))
}

/// Answers with where a job went wrong.
pub(in crate::api) async fn errors(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    view: View,
) -> Result<HttpResponse, Problem> {
    let (right, Held { row, provenance }) = find(&view, &path).await?;
    let failure = view.log(right, &row).failure().await?;
    let mut answer = serde_json::to_value(&failure).map_err(|_| Problem::Unusable)?;
    answer["job_id"] = json!(row.key.job);
    Ok(reply::json(&request, provenance, answer.to_string()))
}

/// Finds a log that is held, and the right to read it.
async fn find(view: &View, path: &(String, String)) -> Result<(FileRight, Held<JobRow>), Problem> {
    view.named()?;
    let project = view.project(&path.0).await?;
    let right = view.may_read_log(project, &path.1).await?;
    let held = view.job(project, &path.1, JobPart::Log).await?;
    // One that is whole and has no bytes is empty.
    if held.row.log.blob.is_none() && held.row.log.piece != Piece::Whole {
        return Err(Problem::NotHeld(held.row.log_absence()));
    }
    Ok((right, held))
}

fn section(section: &Section) -> Value {
    json!({
        "name": section.name,
        "started": section.started,
        "ended": section.ended,
        "seconds": section.seconds(),
        "depth": section.depth,
        "first_line": section.first_line,
        "last_line": section.last_line,
        "collapsed": section.collapsed,
    })
}
