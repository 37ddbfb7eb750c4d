//! Search in messages. Blind terms find segments that hold the words of a query; each is opened, and its lines are checked
//! before they are hits. han-transcript (`words`) defines words and queries. A background job fills the index after lines
//! are stored ([`index`](self::index())).
//!
//! Hits are ordered by (time, text ids), segments by the time of their last line. So a hit is known to come next once all
//! segments with a later last line are open.

mod index;
mod sql;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use han_transcript::line_text;
use han_transcript::split::{MAX_RECORDS, record_texts};
use han_transcript::view::search_text_at;
use han_transcript::words::{LineFilter, Query};
use han_types::MessageKey;
use sea_orm::{FromQueryResult, Value};

use crate::cpu;
use crate::entities::Message;
use crate::page::{Cursor, PageRequest};
use crate::queries::messages::{self, MessageRow};
use crate::segments::{Segment, SegmentKey};
use crate::{DbError, ScopedTx};

pub use index::{Due, due, index, lag, reindex};
pub(crate) use index::{TermMaker, Terms};
pub(crate) use sql::insert_terms;

/// The number of segments that are looked up first, and at most at a time. A frequent word is met in the first one.
const FIRST_CANDIDATES: usize = 3;
const MORE_CANDIDATES: usize = 64;

/// The bytes of segments that are opened at once. A single segment may be larger.
const OPEN_BYTES: usize = 4 << 20;

/// What to search.
#[derive(Clone, Debug, Default)]
pub struct Within {
    /// Only this session.
    pub session_id: Option<String>,
    /// Only sessions of these projects.
    pub project_ids: Option<Vec<String>>,
    /// Only sessions that this user pushed.
    pub user_id: Option<String>,
    /// Only messages from this time on, in milliseconds since the epoch.
    pub from: Option<i64>,
    /// Only messages before this time, in milliseconds since the epoch.
    pub to: Option<i64>,
}

/// A position among hits, newest first: (time, session, transcript, uuid).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HitCursor {
    at: i64,
    session_id: String,
    transcript: String,
    uuid: String,
}

impl HitCursor {
    /// After all messages that are later than this time.
    fn after_later_than(at: i64) -> Self {
        Self {
            at: at.saturating_add(1),
            session_id: String::new(),
            transcript: String::new(),
            uuid: String::new(),
        }
    }

    fn of(at: i64, key: &MessageKey) -> Self {
        Self {
            at,
            session_id: key.session_id.to_string(),
            transcript: key.transcript.to_string(),
            uuid: key.uuid.clone(),
        }
    }
}

impl Cursor for HitCursor {
    fn encode(&self) -> String {
        let Self { at, session_id, transcript, uuid } = self;
        format!("{at}_{}_{}_{session_id}{transcript}{uuid}", session_id.len(), transcript.len())
    }

    fn decode(text: &str) -> Option<Self> {
        let mut parts = text.splitn(4, '_');
        let (at, session, transcript, names) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        if names.contains('\0') {
            return None;
        }
        let (session_id, names) = names.split_at_checked(session.parse().ok()?)?;
        let (transcript, uuid) = names.split_at_checked(transcript.parse().ok()?)?;
        let owned = str::to_owned;
        Some(Self {
            at: at.parse().ok()?,
            session_id: owned(session_id),
            transcript: owned(transcript),
            uuid: owned(uuid),
        })
    }
}

/// A message that meets a query.
#[derive(Clone, Debug)]
pub struct Hit {
    /// The message.
    pub message: Arc<Message>,
    /// Its text that was searched.
    pub text: String,
    /// The byte range of the first match in `text`.
    pub at: Range<usize>,
    /// Its position among all hits.
    pub cursor: HitCursor,
}

impl Hit {
    fn bytes(&self) -> usize {
        self.message.body.as_ref().map_or(0, String::len)
    }
}

/// A page of hits, newest first.
#[derive(Clone, Debug, Default)]
pub struct Hits {
    /// The hits.
    pub hits: Vec<Hit>,
    /// Where the next page continues; `None` at the end. A page with fewer hits than requested, or none, may still have
    /// a next one: for example, if the words of a phrase are common and the phrase is rare.
    pub next: Option<HitCursor>,
    /// The number of messages that cannot be opened and are stored beside the words of the query: whether they match is
    /// unknown.
    pub unreadable: usize,
}

/// A segment that holds all words of a query.
#[derive(Clone, Debug, FromQueryResult)]
struct Candidate {
    session: i32,
    transcript: i16,
    first_ordinal: i32,
    last_at: i64,
    bytes: i32,
}

impl Candidate {
    fn len(&self) -> usize {
        usize::try_from(self.bytes).unwrap_or_default()
    }

    fn key(&self) -> SegmentKey {
        SegmentKey { session: self.session, transcript: self.transcript, first_ordinal: self.first_ordinal }
    }
}

/// The indexed messages of the team that match a query, newest first. A line that cannot be opened is not a hit, but is
/// counted.
///
/// # Errors
/// [`DbError::TooMuch`] if the budget of the transaction does not cover a single hit.
pub async fn search(
    tx: &ScopedTx,
    query: &Query,
    within: &Within,
    request: &PageRequest<HitCursor>,
) -> Result<Hits, DbError> {
    let Some(key) = tx.key_store().search_key(tx).await? else { return Ok(Hits::default()) };
    let terms = query.words().map(|word| index::term(&key, word)).collect();
    let budget = tx.budget().await.left();
    let after = request.after.as_ref();
    let mut candidates = Candidates::new(tx, terms, within, after.map(|after| after.at));
    let mut found = Found::new(request.first, budget);
    let (mut opened, mut segments, mut at_most) = (0, 0, 1);
    loop {
        let batch = candidates.next_batch(at_most).await?;
        opened += batch.iter().map(Candidate::len).sum::<usize>();
        segments += batch.len();
        open(tx, query, within, after, &batch, &mut found).await?;
        // No segment that is left has a line later than this. Where many segments hold lines of one moment, all of them
        // are opened, however many: otherwise the next page would begin with the same ones.
        let Some(rest) = candidates.newest() else { break };
        let end = HitCursor::after_later_than(rest);
        let has_progressed = after.is_none_or(|after| end < *after);
        if found.is_full_before(&end) || opened >= tx.search_bytes() && has_progressed {
            return found.into_page(tx, Some(end)).await;
        }
        at_most = match found.hits.len() {
            0 => at_most * 2,
            // As many as hold the missing ones, if the others are like those so far.
            hits => (request.first.saturating_sub(hits) * segments).div_ceil(hits),
        }
        .clamp(1, MORE_CANDIDATES);
    }
    found.into_page(tx, None).await
}

/// The segments that hold all words of a query, by the time of their last line, newest first.
struct Candidates<'a> {
    tx: &'a ScopedTx,
    terms: Vec<i64>,
    within: &'a Within,
    /// Only those with a line at or before this time.
    until: Option<i64>,
    /// Those that were looked up and not taken yet.
    queue: VecDeque<Candidate>,
    /// The last one that was looked up, and whether it is the last of all.
    last: Option<Candidate>,
    is_complete: bool,
    /// How many are looked up next.
    at_once: usize,
}

impl<'a> Candidates<'a> {
    fn new(tx: &'a ScopedTx, terms: Vec<i64>, within: &'a Within, until: Option<i64>) -> Self {
        let at_once = FIRST_CANDIDATES;
        Self { tx, terms, within, until, queue: VecDeque::new(), last: None, is_complete: false, at_once }
    }

    /// The time of the last line of the next segment; `None` after the last segment.
    fn newest(&self) -> Option<i64> {
        self.queue.front().map(|next| next.last_at)
    }

    /// The next segments to open.
    async fn next_batch(&mut self, at_most: usize) -> Result<Vec<Candidate>, DbError> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        loop {
            // One is left in the queue, if there is one: `newest` needs it.
            if self.queue.len() < 2 && !self.is_complete {
                self.look_up().await?;
            }
            let Some(next) = self.queue.front() else { return Ok(batch) };
            bytes += next.len();
            if !batch.is_empty() && (batch.len() == at_most || bytes > OPEN_BYTES) {
                return Ok(batch);
            }
            batch.extend(self.queue.pop_front());
        }
    }

    async fn look_up(&mut self) -> Result<(), DbError> {
        let Self { tx, terms, within, until, last, at_once, .. } = self;
        let more = sql::candidates(tx, terms, within, *until, last.as_ref(), *at_once).await?;
        self.is_complete = more.len() < *at_once;
        self.at_once = MORE_CANDIDATES;
        if let Some(candidate) = more.last() {
            self.last = Some(candidate.clone());
        }
        self.queue.extend(more);
        Ok(())
    }
}

/// Opens segments and takes their hits: those within the time, after the cursor, and among the newest.
async fn open(
    tx: &ScopedTx,
    query: &Query,
    within: &Within,
    after: Option<&HitCursor>,
    batch: &[Candidate],
    found: &mut Found,
) -> Result<(), DbError> {
    let keys: Vec<SegmentKey> = batch.iter().map(Candidate::key).collect();
    let (mut opened, mut unreadable) = (Vec::new(), Vec::new());
    for read in tx.segments()?.read(&keys).await? {
        match read.opened {
            Ok(segment) => opened.push((read.key.session, segment)),
            Err(_) => unreadable.push((read.key, read.stored.extent)),
        }
    }
    let from = within.from.unwrap_or(i64::MIN).max(found.oldest_needed());
    let to =
        within.to.map_or(i64::MAX, |to| to.saturating_sub(1)).min(after.map_or(i64::MAX, |after| after.at));
    // The messages of `source` that meet a condition and may be on the page, until a time; only the latest ones if there
    // is a limit. Its parameters begin with `$4`.
    let on_page = async |source: &str, condition: &str, to: i64, limit: Option<usize>, values: Vec<Value>| {
        let mut condition = format!("messages.at BETWEEN $2 AND $3{condition}");
        if let Some(limit) = limit {
            condition += &format!(" ORDER BY messages.at DESC LIMIT {limit}");
        }
        let times = [tx.team(), from.into(), to.into()];
        messages::unlocated(tx, source, &condition, times.into_iter().chain(values)).await
    };
    let cursors = |rows: Vec<MessageRow>| -> Result<Vec<_>, DbError> {
        let with_cursor = |row: MessageRow| Ok((HitCursor::of(row.at(), &row.key()?), row));
        let mut rows = rows.into_iter().map(with_cursor).collect::<Result<Vec<_>, DbError>>()?;
        rows.retain(|(at, _)| after.is_none_or(|after| at < after));
        Ok(rows)
    };

    let filter = query.clone();
    let lines = cpu::run_queued("looking through segments", move || possible_lines(&filter, opened)).await?;
    let messages = lines.iter().flat_map(|((session, ordinal), line)| {
        (*ordinal..ordinal + line.records).map(|ordinal| [i64::from(*session), ordinal])
    });
    let (wanted, values) = tx.dialect().number_rows(4, ["session", "ordinal"], messages);
    let source = tx.dialect().joined_each(
        &wanted,
        "messages",
        "messages",
        "messages.team = $1 AND messages.session = wanted.session AND messages.ordinal = wanted.ordinal",
    );
    let lines = Arc::new(lines);
    // A common word is in many more lines than a page has hits.
    let few = 2 * found.first;
    let (mut to_rest, mut limit) = (to, (lines.len() > 2 * few).then_some(few));
    loop {
        let mut rows = on_page(&source, "", to_rest, limit, values.clone()).await?;
        let oldest = rows.iter().map(MessageRow::at).min();
        let rest = oldest.filter(|_| limit.is_some_and(|limit| rows.len() == limit));
        // Others of the same time may be missing.
        rows.retain(|row| rest.is_none_or(|rest| row.at() > rest));
        let mut messages = cursors(rows)?;
        messages.sort_unstable_by(|(one, _), (other, _)| other.cmp(one));
        let (filter, known, first, lines) = (query.clone(), found.cursors(), found.first, Arc::clone(&lines));
        let work = move || check(&filter, messages, &lines, &known, first);
        for hit in cpu::run_queued("checking lines", work).await?? {
            found.put(hit);
        }
        let Some(rest) = rest.filter(|rest| found.oldest_needed() <= *rest) else { break };
        (to_rest, limit) = (rest, None);
    }

    for (key, extent) in unreadable {
        let condition = format!(
            " AND messages.team = $1 AND messages.session = $4 AND messages.transcript = $5 \
             AND messages.ordinal BETWEEN $6 AND $7 + {MAX_RECORDS} AND messages.ordinal - messages.part <= $7"
        );
        let (session, transcript) = (i64::from(key.session), i64::from(key.transcript));
        let segment = [session, transcript, extent.first_ordinal, extent.last_ordinal];
        let rows = on_page("messages", &condition, to, None, segment.map(Value::from).into()).await?;
        found.unreadable.extend(cursors(rows)?.into_iter().map(|(at, _)| at));
    }
    Ok(())
}

/// Entries of the log, by their session and ordinal.
type Lines = HashMap<(i32, i64), PossibleLine>;

/// An entry that may match.
struct PossibleLine {
    /// The segment that holds it.
    segment: Arc<Segment>,
    /// The number of its records, which have the ordinals from its own on.
    records: i64,
}

/// The entries of segments that may match the query.
fn possible_lines(query: &Query, segments: Vec<(i32, Arc<Segment>)>) -> Lines {
    let mut filter = LineFilter::new(query);
    let mut lines = HashMap::new();
    for (session, segment) in segments {
        for entry in segment.entries() {
            let Ok(line) = std::str::from_utf8(entry.text) else { continue };
            if filter.may_match(line) {
                let possible = PossibleLine { segment: Arc::clone(&segment), records: records(line) };
                lines.insert((session, entry.ordinal), possible);
            }
        }
    }
    lines
}

/// The number of records of a line, given as it was received. An object is one record.
fn records(body: &str) -> i64 {
    if body.starts_with('{') {
        return 1;
    }
    i64::try_from(record_texts(&line_text(body)).len()).unwrap_or(i64::MAX)
}

/// The messages that match the query, newest first, until there are `first` hits together with the `known` ones. Both
/// are sorted, newest first.
fn check(
    query: &Query,
    messages: Vec<(HitCursor, MessageRow)>,
    lines: &Lines,
    known: &[HitCursor],
    first: usize,
) -> Result<Vec<Hit>, DbError> {
    let mut hits: Vec<Hit> = Vec::new();
    for (cursor, row) in messages {
        let newer = known.partition_point(|known| *known > cursor);
        if hits.len() + newer >= first {
            break;
        }
        let Some(entry) = lines.get(&row.entry()).and_then(|line| line.segment.get(row.entry().1)) else {
            continue;
        };
        let Ok(line) = std::str::from_utf8(entry.text) else { continue };
        let text = search_text_at(&line_text(line), row.part(), usize::MAX);
        if let Some(at) = query.find(&text) {
            hits.push(Hit { message: Arc::new(row.with_line(Some(line.to_owned()))?), text, at, cursor });
        }
    }
    Ok(hits)
}

/// The newest hits so far.
struct Found {
    hits: BTreeMap<HitCursor, Hit>,
    /// Messages that cannot be opened.
    unreadable: BTreeSet<HitCursor>,
    first: usize,
    /// The bytes of the hits, and the most that they may have.
    bytes: usize,
    budget: usize,
    /// The newest hit that the budget does not cover: the page ends before it.
    left_out: Option<HitCursor>,
}

impl Found {
    fn new(first: usize, budget: usize) -> Self {
        Self { hits: BTreeMap::new(), unreadable: BTreeSet::new(), first, bytes: 0, budget, left_out: None }
    }

    /// No hit that is older than this is on the page.
    fn oldest_needed(&self) -> i64 {
        let oldest = self.hits.keys().next().filter(|_| self.hits.len() >= self.first);
        oldest.max(self.left_out.as_ref()).map_or(i64::MIN, |oldest| oldest.at)
    }

    /// The hits' cursors, newest first.
    fn cursors(&self) -> Vec<HitCursor> {
        self.hits.keys().rev().cloned().collect()
    }

    fn put(&mut self, hit: Hit) {
        if self.left_out.as_ref().is_some_and(|left_out| hit.cursor <= *left_out) {
            return;
        }
        self.bytes += hit.bytes();
        self.hits.insert(hit.cursor.clone(), hit);
        while self.hits.len() > self.first || self.bytes > self.budget {
            let Some((oldest, hit)) = self.hits.pop_first() else { return };
            if self.bytes > self.budget {
                self.left_out = Some(oldest);
            }
            self.bytes -= hit.bytes();
        }
    }

    /// Whether the page is complete without anything before `end`.
    fn is_full_before(&self, end: &HitCursor) -> bool {
        self.hits.range(end..).count() >= self.first
            || self.left_out.as_ref().is_some_and(|left_out| left_out >= end)
    }

    /// The page, which ends before `end`: what is older may be incomplete.
    async fn into_page(self, tx: &ScopedTx, end: Option<HitCursor>) -> Result<Hits, DbError> {
        let is_short = self.left_out.is_some_and(|left_out| end.as_ref().is_none_or(|end| left_out >= *end));
        let is_on_page = |hit: &Hit| end.as_ref().is_none_or(|end| hit.cursor >= *end);
        let hits: Vec<Hit> = self.hits.into_values().rev().take_while(is_on_page).collect();
        let mut budget = tx.budget().await;
        budget.take(hits.iter().map(Hit::bytes).sum())?;
        let last = hits.last().filter(|_| is_short || hits.len() >= self.first);
        if last.is_none() && is_short {
            return Err(budget.passed());
        }
        let next = last.map(|last| last.cursor.clone()).or(end);
        let unreadable = match &next {
            Some(next) => self.unreadable.range(next..).count(),
            None => self.unreadable.len(),
        };
        Ok(Hits { hits, next, unreadable })
    }
}
