//! The command that lists background jobs. What a job is and how it is recorded is in han-db.

use std::time::Duration;

use han_db::Db;
use han_db::entities::{JobStatus, Progress, RunOutcome};
use han_db::queries::jobs;
use han_types::Timestamp;
use serde_json::{Value, json};

use super::table::text_table;
use super::{CommandError, Jobs, World};

pub(super) async fn run(asked: &Jobs, db: &Db, world: &mut World<'_>) -> Result<(), CommandError> {
    let jobs = jobs::list(db).await?;
    if asked.json {
        let jobs: Vec<Value> = jobs.iter().map(json).collect();
        writeln!(world.out, "{}", Value::Array(jobs))?;
    } else if jobs.is_empty() {
        writeln!(world.err, "han-server: no server has run on this database yet")?;
    } else {
        write!(world.out, "{}", table(&jobs))?;
    }
    Ok(())
}

fn json(job: &JobStatus) -> Value {
    let time = |time: Option<Timestamp>| time.map(Timestamp::to_rfc3339);
    json!({
        "name": job.name,
        "scheduleSeconds": job.every.map(|every| every.as_secs()),
        "state": job.state.as_str(),
        "holder": job.holder,
        "leaseUntil": time(job.lease_until),
        "dueAt": time(Some(job.due_at)),
        "lastStartedAt": time(job.last_started_at),
        "lastFinishedAt": time(job.last_finished_at),
        "durationMs": job.duration.map(|duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)),
        "lastOutcome": job.last_outcome.map(RunOutcome::as_str),
        "lastError": job.last_error,
        "lastErrorAt": time(job.last_error_at),
        "progress": job.progress,
        "runs": job.runs,
        "failures": job.failures,
    })
}

const HEAD: [&str; 8] =
    ["JOB", "SCHEDULE", "STATE", "HOLDER", "LAST START", "DURATION", "PROGRESS", "LAST ERROR"];

fn table(jobs: &[JobStatus]) -> String {
    text_table(HEAD, jobs.iter().map(cells))
}

fn cells(job: &JobStatus) -> [String; 8] {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let error = job.last_error.as_ref().map(|error| match job.last_error_at {
        Some(at) => format!("{at} {error}"),
        None => error.clone(),
    });
    [
        job.name.clone(),
        job.every.map_or_else(|| "continuous".to_owned(), |every| format!("every {}", span(every))),
        job.state.as_str().to_owned(),
        or_none(job.holder.clone()),
        or_none(job.last_started_at.map(Timestamp::to_rfc3339)),
        or_none(job.duration.map(span)),
        or_none(job.progress.as_ref().map(progress)),
        // A message may have several lines; a row has one.
        or_none(error.map(|error| error.split_whitespace().collect::<Vec<_>>().join(" "))),
    ]
}

fn progress(progress: &Progress) -> String {
    match progress.total {
        Some(total) => format!("{}/{total} {}", progress.done, progress.unit),
        None => format!("{} {}", progress.done, progress.unit),
    }
}

/// `340ms`, `12s`, `5m 3s`, `2h 15m`, `3d 4h`: the two largest units.
fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let two = |large: u64, l: &str, small: u64, s: &str| match small {
        0 => format!("{large}{l}"),
        _ => format!("{large}{l} {small}{s}"),
    };
    match seconds {
        0 => format!("{}ms", duration.as_millis()),
        1..60 => format!("{seconds}s"),
        60..3_600 => two(seconds / 60, "m", seconds % 60, "s"),
        3_600..86_400 => two(seconds / 3_600, "h", seconds % 3_600 / 60, "m"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use han_db::entities::{JobState, JobStatus, Progress, RunOutcome};
    use han_types::Timestamp;

    use super::{json, span, table};

    fn running() -> JobStatus {
        JobStatus {
            name: "search-index".to_owned(),
            every: None,
            state: JobState::Running,
            holder: Some("0a1b2c3d4e5f".to_owned()),
            lease_until: Some(Timestamp(1_793_610_015_000)),
            due_at: Timestamp(1_793_610_000_000),
            last_started_at: Some(Timestamp(1_793_610_000_000)),
            last_finished_at: None,
            duration: Some(Duration::from_secs(61)),
            last_outcome: None,
            last_error: None,
            last_error_at: None,
            progress: Some(Progress { done: 3, total: Some(5), unit: "sessions".to_owned(), cursor: None }),
            runs: 1,
            failures: 0,
        }
    }

    fn failed() -> JobStatus {
        JobStatus {
            name: "retention".to_owned(),
            every: Some(Duration::from_secs(86_400)),
            state: JobState::Failed,
            holder: None,
            lease_until: None,
            last_finished_at: Some(Timestamp(1_793_610_000_340)),
            duration: Some(Duration::from_millis(340)),
            last_outcome: Some(RunOutcome::Failed),
            last_error: Some("the database\ncould not be reached".to_owned()),
            last_error_at: Some(Timestamp(1_793_610_000_340)),
            progress: None,
            runs: 2,
            failures: 1,
            ..running()
        }
    }

    #[test]
    fn a_table_has_a_line_for_each_job() {
        insta::assert_snapshot!(table(&[failed(), running()]), @r"
        JOB           SCHEDULE    STATE    HOLDER        LAST START                DURATION  PROGRESS      LAST ERROR
        retention     every 1d    failed   -             2026-11-02T09:00:00.000Z  340ms     -             2026-11-02T09:00:00.340Z the database could not be reached
        search-index  continuous  running  0a1b2c3d4e5f  2026-11-02T09:00:00.000Z  1m 1s     3/5 sessions  -
        ");
    }

    #[test]
    fn json_has_every_column() {
        insta::assert_snapshot!(json(&running()), @r#"{"dueAt":"2026-11-02T09:00:00.000Z","durationMs":61000,"failures":0,"holder":"0a1b2c3d4e5f","lastError":null,"lastErrorAt":null,"lastFinishedAt":null,"lastOutcome":null,"lastStartedAt":"2026-11-02T09:00:00.000Z","leaseUntil":"2026-11-02T09:00:15.000Z","name":"search-index","progress":{"cursor":null,"done":3,"total":5,"unit":"sessions"},"runs":1,"scheduleSeconds":null,"state":"running"}"#);
    }

    #[test]
    fn a_span_shows_its_two_largest_units() {
        let shown = |seconds| span(Duration::from_secs(seconds));
        assert_eq!(
            [59, 60, 61, 3_600, 9_000, 86_400, 273_600].map(shown),
            ["59s", "1m", "1m 1s", "1h", "2h 30m", "1d", "3d 4h"]
        );
    }
}
